"""The search by several machines, each a folder and a `cot` of its own here."""

import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from tiny_grid import PARAMS, write_artifacts

from pipeline.artifacts import Calibration, Store

METHODS = ("vanilla", "co-tuning", "bss")
SECRET = "hunter2"


@pytest.fixture
def machines(project: Path, tmp_path: Path) -> list[Path]:
    """Two folders with the same artifacts up to the calibration."""
    root = tmp_path / "first"
    root.mkdir()
    write_artifacts(root)
    (root / "params.yaml").write_text(f"{PARAMS}\ntune: {{trials: 4, epochs: 1, batch_size: 8}}\n")
    (root / "dvc.yaml").write_text("")
    Store(root).save_calibration(Calibration(1.5, "fixed", False, 2.0, 2.0, 0.1, 0.1))
    shutil.copy(project / "mlflow.db", root)
    return [root, Path(shutil.copytree(root, tmp_path / "second"))]


def start(root: Path, *options: str, storage: str | None = None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "COT_STORAGE"}
    if storage is not None:
        environment["COT_STORAGE"] = storage
    return subprocess.Popen(
        ["cot", "stage", "tune", *options],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def messages(process: subprocess.Popen[str]) -> str:
    return "".join(process.communicate(timeout=300))


def runs(root: Path) -> list[str]:
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    return sorted(run.info.run_name for run in client.search_runs(experiments))


@pytest.mark.slow
def test_machines_share_the_trials_and_no_file_or_message_has_the_password(
    machines: list[Path], tmp_path: Path
) -> None:
    storage = f"sqlite:///file:{tmp_path}/tune.db?uri=true&password={SECRET}"
    calls = [
        start(machines[0], "--workers", "2", storage=storage),
        start(machines[1], "--storage", storage),
    ]
    texts = [messages(call) for call in calls]
    assert [call.returncode for call in calls] == [0, 0], texts
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


@pytest.mark.slow
def test_a_storage_that_cannot_be_opened_ends_in_one_line_before_any_work(
    machines: list[Path],
) -> None:
    root = machines[0]
    call = start(root, storage=f"nosuch://user:{SECRET}@host/name")
    text = messages(call)
    assert call.returncode == 1
    assert text.startswith("Error: the storage is of the unknown kind nosuch")
    assert len(text.splitlines()) == 1
    assert SECRET not in text
    assert not (root / ".work").exists()
    assert SECRET.encode() not in (root / "mlflow.db").read_bytes()


@pytest.mark.slow
def test_a_storage_changes_nothing_but_the_place(machines: list[Path], tmp_path: Path) -> None:
    alone = start(machines[0], "--set", "tune.trials=2")
    journal = start(machines[1], "--set", "tune.trials=2", storage=str(tmp_path / "tune.log"))
    texts = [messages(call) for call in (alone, journal)]
    assert [alone.returncode, journal.returncode] == [0, 0], texts
    best = [(root / "data/tune/best.json").read_text() for root in machines]
    assert best[0] == best[1]
    assert (machines[0] / ".work/tune").is_dir()
    assert not (machines[1] / ".work/tune").exists()
