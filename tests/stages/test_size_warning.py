"""Stages that make or first look at images too small for the source model say so."""

import logging
from pathlib import Path

import pytest
from layouts import draw

from pipeline.params import Params
from stages import extract_logits, prepare_data


@pytest.mark.parametrize(("size", "count"), [(32, 1), (112, 0)])
def test_preparing_and_extraction_warn_of_images_far_below_the_published_size(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    size: int,
    count: int,
) -> None:
    for index in range(8):
        draw(project / "photos" / "ab"[index % 2] / f"{index}.jpg", index % 2)
    monkeypatch.chdir(project)
    data = {"source": "image-folder", "root": "photos", "stored_size": size, "images_per_class": 2}
    params = Params.model_validate({"source_model": {"input_size": size}, "prepare_data": data})
    for stage in prepare_data, extract_logits:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            stage.run(params)
        warnings = [
            record
            for record in caplog.records
            if record.levelno == logging.WARNING and "is published for" in record.getMessage()
        ]
        assert len(warnings) == count
        assert all("\n" not in record.getMessage() for record in warnings)
