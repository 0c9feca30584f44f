"""A miniature of each published layout is prepared; two that differ most go on to the report."""

import json
from pathlib import Path

import layouts
import numpy as np
import pandas as pd
import pytest
import torchvision_layouts

from pipeline.artifacts import Store
from pipeline.params import Params
from stages import (
    calibrate,
    evaluate,
    extract_logits,
    fine_tune,
    fit_relationship,
    prepare_data,
    report,
    tune,
)

METHODS = ["vanilla", "co-tuning"]
# Names with slashes and a published validation split; no published split at all.
UP_TO_THE_REPORT = ("fgvc-aircraft", "EuroSAT")
SPLITS = {  # of 27 images; 20 % for validation and test of each class where not published
    "cub-200-2011": {"train": 15, "validation": 3, "test": 9},
    "stanford-cars": {"train": 15, "validation": 3, "test": 9},
    "fgvc-aircraft": {"train": 12, "validation": 6, "test": 9},
    "coco-70": {"train": 12, "validation": 6, "test": 9},
    "Flowers102": {"train": 12, "validation": 6, "test": 9},
    "EuroSAT": {"train": 18, "validation": 3, "test": 6},
    "CIFAR10": {"train": 36, "validation": 9, "test": 9},
}


def run_further(params: Params) -> None:
    for stage in (extract_logits, calibrate, tune, fit_relationship):
        stage.run(params)
    for method in METHODS:
        fine_tune.run(params, method)
        evaluate.run(params, method)
    report.run(params)


@pytest.mark.slow
@pytest.mark.parametrize("source", SPLITS)
def test_a_miniature_goes_through_the_pipeline(
    source: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    if source in layouts.BUILDERS:
        layouts.BUILDERS[source](project / "raw")
    else:
        torchvision_layouts.BUILDERS[source](project / "raw", monkeypatch)
    params = Params.model_validate(
        {
            "source_model": {"input_size": 32},
            "prepare_data": {
                **{"source": source, "root": "raw", "expected_counts": "any"},
                **{"stored_size": 36, "images_per_class": None},
            },
            "tune": {"trials": 0},
            "fine_tune": {"methods": METHODS, "epochs": 2, "batch_size": 8},
            "evaluate": {"bootstrap_resamples": 100},
            "report": {"bootstrap_resamples": 100},
        }
    )
    prepare_data.run(params)

    prepared = Store(project).load_prepared()
    manifest = prepared.manifest
    assert manifest["split"].value_counts().to_dict() == SPLITS[source]
    assert len(prepared.classes) == 3
    for label in range(3):
        rows = manifest.loc[manifest["label"] == label, "row"]
        colours = prepared.images[rows.to_numpy()].mean(axis=(1, 2))
        colour = np.array(layouts.COLOURS[label])
        grey = colour @ (0.299, 0.587, 0.114)
        is_colour = (np.abs(colours - colour) < 10).all(axis=1)
        assert (is_colour | (np.abs(colours - grey) < 10).all(axis=1)).all()
        assert is_colour.sum() >= len(rows) - 3
    if source not in UP_TO_THE_REPORT:
        return
    run_further(params)
    for method in METHODS:
        folder = project / "data/evaluate" / method / "seed-0"
        assert 0 <= json.loads((folder / "metrics.json").read_text())["accuracy"] <= 1
        assert len(pd.read_csv(folder / "predictions.csv")) == SPLITS[source]["test"]
    text = (project / "data/report/report.md").read_text()
    assert all(name in text for name in prepared.classes)
