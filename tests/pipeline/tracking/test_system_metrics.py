"""MLflow's own switch for what a run takes of the machine."""

import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.tracking.runs import stage_run

PATIENCE = 60  # seconds


def logged(project: Path, until: str | None) -> set[str]:
    """Names of the metrics of a stage's run, which ends as soon as there is one so called."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    with stage_run(project, "tune", {}, [], project / "data/tune") as run:
        begin = time.monotonic()
        while until and until not in client.get_run(run.run_id).data.metrics:
            assert time.monotonic() - begin < PATIENCE
            time.sleep(0.1)
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    return set(found.data.metrics)


def test_a_stage_logs_the_machine_where_mlflow_is_told_to(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "data/tune").mkdir(parents=True)
    assert not logged(project, until=None)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    processor = "system/cpu_utilization_percentage"
    assert {processor, "system/system_memory_usage_megabytes"} <= logged(project, processor)
