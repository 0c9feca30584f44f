"""prepare_data.test_fraction 0: images are prepared, but no method can be judged on them."""

from pathlib import Path

import pytest
from layouts import draw

from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.params import Params
from stages import evaluate, prepare_data, report


def test_what_needs_test_images_says_that_there_are_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(8):
        draw(project / "photos" / "ab"[index % 2] / f"{index}.jpg", index % 2)
    monkeypatch.chdir(project)
    data = {"source": "image-folder", "root": "photos", "stored_size": 16}
    data |= {"images_per_class": None, "test_fraction": 0}
    params = Params.model_validate({"source_model": {"input_size": 16}, "prepare_data": data})
    prepare_data.run(params)
    splits = Store(project).load_prepared().manifest["split"]
    assert splits.value_counts().to_dict() == {"train": 6, "validation": 2}
    for run in (lambda: evaluate.run(params, "vanilla"), lambda: report.run(params)):
        with pytest.raises(UserError, match=r"no test images; set prepare_data.test_fraction"):
            run()
