"""The search by several machines, each a folder and a `cot` of its own here."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from sharing import Started
from tiny_grid import PARAMS, write_artifacts
from work import cot

from pipeline.artifacts import Calibration, Store

SECRET = "hunter2"

pytestmark = [pytest.mark.slow, pytest.mark.processes]


@pytest.fixture
def machines(project: Path, tmp_path: Path) -> list[Path]:
    """Two folders with the same artifacts up to the calibration."""
    root = tmp_path / "first"
    root.mkdir()
    write_artifacts(root)
    (root / "params.yaml").write_text(f"{PARAMS}tune: {{trials: 4, folds: 2}}\n")
    (root / "dvc.yaml").write_text("")
    Store(root).save_calibration(Calibration(1.5, "fixed", False, 2.0, 2.0, 0.1, 0.1))
    shutil.copy(project / "mlflow.db", root)
    return [root, Path(shutil.copytree(root, tmp_path / "second"))]


def start(root: Path, *options: str, storage: str | None = None) -> Started:
    arguments = ("stage", "tune", *options)
    return Started(cot, root, root / "messages", arguments, storage)


def runs(root: Path) -> list[str]:
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    return sorted(run.info.run_name for run in client.search_runs(experiments))


def test_machines_share_the_trials_and_no_file_or_message_has_the_password(
    machines: list[Path], tmp_path: Path
) -> None:
    storage = f"sqlite:///file:{tmp_path}/tune.db?uri=true&password={SECRET}"
    calls = [
        start(machines[0], "--workers", "2", storage=storage),
        start(machines[1], "--storage", storage),
    ]
    codes = [call.end() for call in calls]
    texts = [(root / "messages").read_text() for root in machines]
    assert codes == [0, 0], texts
    for name in ("best.json", "trials.csv"):
        one, other = ((root / "data/tune" / name).read_text() for root in machines)
        assert one == other
    trials = pd.read_csv(machines[0] / "data/tune/trials.csv")
    assert trials["state"].isin(["COMPLETE", "PRUNED"]).sum() == 4
    assert trials["source_weight"].tolist().count(0.0) == 1
    ran = [name for root in machines for name in runs(root)]
    assert ran.count("tune") == 2
    assert sum(name.startswith("trial ") for name in ran) == 4
    assert not any(SECRET in text for text in texts)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_storage_that_cannot_be_opened_ends_in_one_line_before_any_work(
    machines: list[Path],
) -> None:
    root = machines[0]
    assert start(root, storage=f"nosuch://user:{SECRET}@host/name").end() == 1
    text = (root / "messages").read_text()
    assert text.startswith("Error: the storage is of the unknown kind nosuch")
    assert len(text.splitlines()) == 1
    assert SECRET not in text
    assert not (root / ".work").exists()
    assert SECRET.encode() not in (root / "mlflow.db").read_bytes()


def test_a_storage_changes_nothing_but_the_place_and_a_search_can_be_made_longer(
    machines: list[Path], tmp_path: Path
) -> None:
    first, second = machines
    two = ("--set", "tune.trials=2")
    calls = start(first, *two), start(second, *two, storage=str(tmp_path / "tune.log"))
    assert [call.end() for call in calls] == [0, 0]
    best = [(root / "data/tune/best.json").read_text() for root in machines]
    assert best[0] == best[1]
    assert list((first / ".work/tune").glob("*.log"))
    assert not list((second / ".work/tune").glob("*.log"))
    weights = pd.read_csv(first / "data/tune/trials.csv")["source_weight"].tolist()
    assert start(first, "--workers", "2").end() == 0
    trials = pd.read_csv(first / "data/tune/trials.csv")
    assert trials["state"].isin(["COMPLETE", "PRUNED"]).sum() == 4
    assert trials["source_weight"].tolist()[:2] == weights == [0.0, 2.3]
