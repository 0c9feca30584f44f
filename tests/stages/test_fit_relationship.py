"""The fit-relationship stage on the logits of a source model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from pipeline.artifacts import Best, Calibration, SplitLogits, Store
from pipeline.common.formats import read_json
from pipeline.params import Params
from pipeline.params.sections import FitRelationship
from stages import fit_relationship

CLASSES = ["007", "NA", "a|b"]
SEPARATE = 8 * torch.eye(3, 5)


def logits_of(labels: list[int], wrong: dict[int, int]) -> SplitLogits:
    """Source logits that name each label's category; `wrong` names another at some places."""
    named = torch.tensor([wrong.get(place, label) for place, label in enumerate(labels)])
    return SplitLogits(SEPARATE[named], torch.tensor(labels), torch.arange(len(labels)))


def test_g_is_judged_class_by_class_and_only_scalars_become_metrics(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "params.yaml").touch()
    monkeypatch.chdir(project)
    store = Store(project)
    manifest = pd.DataFrame({"row": np.arange(1), "split": "train", "label": 0, "path": "x.png"})
    store.save_manifest(manifest, CLASSES, [])
    train = logits_of([0, 1, 2] * 8, {})
    validation = logits_of([0, 0, 0, 0, 2, 2], {0: 1, 5: 1})
    store.save_logits({"train": train, "validation": validation}, tuple("vwxyz"))
    store.save_best(Best(2.3, 1.0))
    store.save_calibration(Calibration(1.0, "fixed", False, 1.0, 1.0, 0.1, 0.1))
    fit_relationship.run(Params(fit_relationship=FitRelationship(direction="direct")))

    folder = store.folder("fit-relationship")
    found = read_json(folder / "diagnostics.json")
    assert (found["direction"], found["knowledge"]["accuracy"]) == (
        "direct",
        pytest.approx(28 / 30),
    )
    classifier = found["classifier"]
    assert classifier["class_accuracy"] == {"007": 0.75, "NA": None, "a|b": 0.5}
    assert classifier["validation_accuracy"] == pytest.approx(4 / 6)
    run_id = json.loads((folder / "run.json").read_text())["run_id"]
    metrics = MlflowClient(f"sqlite:///{project / 'mlflow.db'}").get_run(run_id).data.metrics
    assert metrics["validation_accuracy"] == pytest.approx(4 / 6)
    assert {"leep", "nce", "scale", "majority_accuracy", "knowledge_nats"} < set(metrics)


def diagnostics_of(nats: float, accuracy: float, confidence: float) -> dict[str, Any]:
    return {
        "confidence": confidence,
        "knowledge": {"nats": nats, "standard_error": 0.1, "accuracy": accuracy},
        "most_similar_rows": {"first": "a", "second": "b", "cosine": 0.1},
        "classifier": {
            **{"validation_accuracy": 0.9, "majority_accuracy": 0.2, "scale_at_bound": False},
        },
    }


@pytest.mark.parametrize(
    ("nats", "accuracy", "warned"),
    [
        (0.01, 0.21, True),  # within two standard errors of nothing, and no better than guessing
        (-0.2, 0.45, False),  # a reverse relationship that tells the classes apart
        (0.5, 0.21, False),
    ],
)
def test_a_relationship_that_knows_nothing_is_warned_of(
    nats: float, accuracy: float, warned: bool
) -> None:
    found = diagnostics_of(nats, accuracy, 0.5)
    told = [text for text in fit_relationship.warnings(found) if "knows nothing" in text]
    assert len(told) == warned


@pytest.mark.parametrize(
    ("confidence", "accuracy", "warned"),
    [(0.82, 0.30, True), (0.67, 0.48, False), (0.02, 0.23, False)],  # 64, 112 and 32 px
)
def test_a_source_model_that_is_sure_and_wrong_is_warned_of(
    confidence: float, accuracy: float, warned: bool
) -> None:
    told = fit_relationship.warnings(diagnostics_of(0.3, accuracy, confidence))
    assert len(told) == warned
    assert all(f"mean confidence {confidence:.0%}" in text for text in told)


def test_confidence_is_that_of_the_uncalibrated_source_model() -> None:
    splits = {"train": logits_of([0, 1], {}), "validation": logits_of([2], {})}
    expected = np.exp(8) / (np.exp(8) + 4)
    assert fit_relationship.mean_confidence(splits) == pytest.approx(expected)
