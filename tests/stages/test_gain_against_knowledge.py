"""Cells of studies beside each other are held together, and tracked."""

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.params import Params
from pipeline.params.claims_sections import GainAgainstKnowledge
from stages import gain_against_knowledge

PARAMS = Params(gain_against_knowledge=GainAgainstKnowledge(studies=("near", "far")))


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").touch()
    here = tmp_path / "experiments/gain-against-knowledge"
    here.mkdir(parents=True)
    (here / "params.yaml").touch()
    monkeypatch.chdir(here)
    for name, gain in (("near", 0.1), ("far", -0.1)):
        rows = [
            {
                **{"images_per_class": 5, "steps": 9, "learning_rate": 0.01, "seed": seed},
                "source_weight": 1.0,
                **{"row": row, "taught_by": row, "accuracy": 0.5 + share * gain, "nll": 1.0},
                "relationship": None if row == "vanilla" else "learned",
                "knowledge_nats": None if row == "vanilla" else share,
                "knowledge_accuracy": share,
                "swept": None,
                "knowledge_log_likelihood": -share,
            }
            for seed in (0, 1)
            for row, share in (("vanilla", 0.0), ("auto", 1.0), ("direct", 0.5))
        ]
        folder = tmp_path / "experiments" / name / "data/fine-tune-cells"
        folder.mkdir(parents=True)
        pd.DataFrame(rows).to_csv(folder / "cells.csv", index=False)
    return tmp_path


def test_every_study_is_in_the_table_and_in_the_picture(studies: Path) -> None:
    gain_against_knowledge.run(PARAMS)
    folder = Store(Path.cwd()).folder("gain-against-knowledge")
    means = pd.read_csv(folder / "means.csv").set_index(["study", "row"])
    assert means.loc[("near", "auto"), "accuracy_gain"] == pytest.approx(10)
    assert means.loc[("far", "direct"), "accuracy_gain"] == pytest.approx(-5)
    found = pd.read_csv(folder / "correlations.csv")
    assert set(found["points"]) == {"all", "learned", "within a study"}
    assert (folder / "gain.png").stat().st_size > 10_000
    run_id = json.loads((folder / "run.json").read_text())["run_id"]
    run = MlflowClient(f"sqlite:///{studies / 'mlflow.db'}").get_run(run_id)
    assert run.data.metrics["points"] == 8


def test_a_study_without_cells_is_named(studies: Path) -> None:
    (studies / "experiments/far/data/fine-tune-cells/cells.csv").unlink()
    with pytest.raises(UserError, match=r"the study far has no cells yet; .*fine-tune-cells@far"):
        gain_against_knowledge.run(PARAMS)
