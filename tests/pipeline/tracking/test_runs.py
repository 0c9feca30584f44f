import json
import sqlite3
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow import MlflowClient
from sharing import NO_PID, Started, let_go
from work import run_stage

from pipeline.common.errors import UserError
from pipeline.common.files import content_hash
from pipeline.tracking import runs, store
from pipeline.tracking.attempts import RETRIES, limit_waits


def client(root):
    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def test_a_run_holds_params_metrics_by_epoch_artifacts_and_hashes(stage, project):
    source = project / "in.txt"
    source.write_text("input")
    run = stage("calibrate", [source], params={"method": "fixed", "nested": {"value": 3}})
    assert run.info.status == "FINISHED"
    assert run.data.params == {"method": "fixed", "nested.value": "3"}
    history = client(project).get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
    assert run.data.tags["stage"] == "calibrate"
    assert run.data.tags["mlflow.source.name"] == "cot stage calibrate"
    assert run.data.tags["input.in.txt"] == content_hash(source)
    output = project / "data/calibrate/out.txt"
    assert run.data.tags["output.data/calibrate/out.txt"] == content_hash(output)
    assert "out.txt" in [item.path for item in client(project).list_artifacts(run.info.run_id)]
    left = json.loads((project / "data/calibrate/run.json").read_text())
    assert left["run_id"] == run.info.run_id


def test_the_commit_and_dirtiness_are_tagged(stage, project):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *arguments], cwd=project, check=True)

    (project / "code.py").write_text("1")
    git("init", "-q")
    git("add", "code.py")
    git("commit", "-qm", "first")
    assert stage("tune").data.tags["git.dirty"] == "false"
    (project / "code.py").write_text("2")
    run = stage("tune")
    assert run.data.tags["git.dirty"] == "true"
    assert len(run.data.tags["mlflow.source.git.commit"]) == 40


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_stage_that_fails_leaves_no_run_id_and_says_how_it_ended(project, error, status):
    folder = project / "data/tune"
    with pytest.raises(error), runs.stage_run(project, "tune", {}, [], folder) as run:
        raise error
    assert client(project).get_run(run.run_id).info.status == status
    assert not (folder / "run.json").exists()


def test_a_nested_run_belongs_to_its_stage(project):
    with runs.stage_run(project, "tune", {}, [], project / "data/tune") as run:
        joined = runs.join_run(project, run.run_id)
        with joined.nested("trial 0", {"source_weight": 2.3}) as trial:
            trial.log_metrics({"validation_nll": 0.5})
    child = client(project).get_run(trial.run_id)
    assert child.data.tags["mlflow.parentRunId"] == run.run_id
    assert child.data.params == {"source_weight": "2.3"}
    assert child.info.status == "FINISHED"


@pytest.mark.processes
def test_processes_that_create_the_database_at_once_all_succeed(project):
    (project / "mlflow.db").unlink()
    processes = [Started(run_stage, project, f"stage-{number}") for number in range(4)]
    let_go(*processes)
    ids = [process.says() for process in processes]
    for process in processes:
        process.go_on()
    assert [process.end() for process in processes] == [0] * 4
    assert {client(project).get_run(run_id).info.status for run_id in ids} == {"FINISHED"}


def lock(root):
    holder = sqlite3.connect(root / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    return holder


def test_a_locked_database_is_refused_before_the_work_in_one_line(stage, project, monkeypatch):
    stage("calibrate")
    monkeypatch.setattr(store, "LOCK_PATIENCE", 1)
    holder = lock(project)
    with pytest.raises(UserError, match="database is locked") as caught:
        stage("tune")
    assert "\n" not in str(caught.value)
    holder.close()


@pytest.mark.slow
def test_a_database_that_gets_locked_midway_does_not_cost_the_work(project, monkeypatch, caplog):
    monkeypatch.setattr(store, "LOCK_PATIENCE", 1)
    folder = project / "data/tune"
    folder.mkdir(parents=True)
    with runs.stage_run(project, "tune", {}, [], folder) as run:
        holder = lock(project)
        run.log_metrics({"loss": 1.0}, step=1)
        holder.close()
        run.log_metrics({"loss": 0.5}, step=2)
    assert caplog.text.count("cannot be written") == 1
    points = client(project).get_metric_history(run.run_id, "loss")
    assert [point.step for point in points] == [1, 2]
    assert client(project).get_run(run.run_id).info.status == "FINISHED"


def test_an_interrupt_in_the_middle_of_a_write_waits_for_nothing(project, monkeypatch, caplog):
    monkeypatch.setattr(store, "LOCK_PATIENCE", 1)
    holders, ids = [], []

    def write(*arguments, **options):
        holders.append(lock(project))
        raise KeyboardInterrupt

    def interrupted():
        with runs.stage_run(project, "tune", {}, [], project / "data/tune") as run:
            ids.append(run.run_id)
            monkeypatch.setattr(MlflowClient, "log_batch", write)
            run.log_metrics({"loss": 1.0}, step=1)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    holders.pop().close()
    assert not holders
    assert caplog.text == ""
    assert client(project).get_run(ids[0]).info.status == "RUNNING"


@pytest.fixture
def broken_server(monkeypatch):
    """Its URL, and the list of what it was asked; it answers that it is out of order."""
    asked = []

    class Broken(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            self.send_error(503)

        def do_GET(self):
            asked.append(self.path)
            self.send_error(503)

        def log_message(self, *given):
            pass

    server = HTTPServer(("127.0.0.1", 0), Broken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("FACTOR", "JITTER"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_BACKOFF_{name}", "0")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    limit_waits()
    yield "http://{}:{}".format(*server.server_address), asked
    server.shutdown()
    server.server_close()


def test_a_server_that_goes_away_is_waited_for_once_and_costs_no_work(
    project, broken_server, caplog
):
    url, asked = broken_server
    folder = project / "data/tune"
    folder.mkdir(parents=True)
    with runs.stage_run(project, "tune", {}, [], folder) as run:
        database, run.client = run.client, MlflowClient(url)
        run.log_metrics({"loss": 1.0}, step=1)
        assert len(asked) == 1 + int(RETRIES)
        with run.nested("trial 0", {"source_weight": 2.3}) as trial:
            trial.log_metrics({"validation_nll": 0.5})
        run.log_metrics({"loss": 0.5}, step=2)
        assert len(asked) == 1 + int(RETRIES) + 2
        run.client = database
        (folder / "out.txt").write_text("x")
    assert caplog.text.count("cannot be written") == 1
    assert not trial.run_id
    points = client(project).get_metric_history(run.run_id, "loss")
    assert [point.step for point in points] == [1, 2]
    assert client(project).get_run(run.run_id).info.status == "FINISHED"


def test_a_run_whose_stage_ended_while_the_server_was_away_is_finished_by_the_next(
    stage, project, broken_server
):
    folder = project / "data/tune"
    folder.mkdir(parents=True)
    with runs.stage_run(project, "tune", {}, [], folder) as run:
        (folder / "out.txt").write_text("x")
        run.set_tag("pid", str(NO_PID))  # as of a process that has ended
        run.client = MlflowClient(broken_server[0])
    assert client(project).get_run(run.run_id).info.status == "RUNNING"
    stage("calibrate")
    found = client(project).get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["output.data/tune/out.txt"] == content_hash(folder / "out.txt")


def test_another_tracking_server_is_used_when_it_is_set(project, monkeypatch):
    other = project / "other.db"
    (project / "mlflow.db").rename(other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    folder = project / "data/tune"
    folder.mkdir(parents=True)
    with runs.stage_run(project, "tune", {}, [], folder) as run:
        pass
    assert not (project / "mlflow.db").exists()
    assert MlflowClient(f"sqlite:///{other}").get_run(run.run_id).info.status == "FINISHED"


def test_an_unreachable_server_is_refused_in_one_line(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        pytest.raises(UserError, match="cannot be used"),
        runs.stage_run(project, "tune", {}, [], project),
    ):
        pass
