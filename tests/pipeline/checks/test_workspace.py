"""What a check of the workspace says of a real database, server, remote and of what was killed."""

import http.server
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import chdir, closing
from pathlib import Path

import pytest
from dvc.repo import Repo
from mlflow import MlflowClient
from sharing import NO_PID

from pipeline.checks import Finding, checked
from pipeline.checks.workspace import (
    RWLOCK,
    artifacts,
    leftovers,
    remote,
    start_status,
    tracking,
)
from pipeline.common.errors import UserError
from pipeline.common.processes import process_tags
from pipeline.common.project import definition

STAGES = (
    "stages:\n  a: {cmd: echo x > out, deps: [in], outs: [out]}\n  b: {cmd: cat out, deps: [out]}\n"
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "in").write_text("1")
    return tmp_path


def status_of(root: Path) -> Finding:
    return artifacts(start_status(root), 60)


def test_stages_are_missing_then_up_to_date_then_stale(repository: Path) -> None:
    assert "missing: a" in status_of(repository).text
    with chdir(repository), Repo() as repo:
        repo.reproduce()
    assert status_of(repository) == Finding("artifacts", "all are up to date")
    (repository / "in").write_text("2")
    assert status_of(repository).text == "stale: a; `dvc repro` makes them"


def test_what_to_do_about_a_lock_of_dvc_that_is_half_written_is_said(repository: Path) -> None:
    (repository / RWLOCK).touch()
    found = status_of(repository)
    assert found.state == "mend"
    (repository / RWLOCK).unlink()
    assert "missing: a" in status_of(repository).text
    assert found.text.endswith("a kill left .dvc/tmp/rwlock half-written; delete it")


def test_stages_that_dvc_cannot_read_are_to_be_mended(repository: Path) -> None:
    (repository / "dvc.yaml").write_text("stages: [")
    found = status_of(repository)
    assert found.state == "mend"
    assert "dvc.yaml" in found.text
    assert "\n" not in found.text


def test_a_running_stage_is_no_fault(repository: Path) -> None:
    (repository / "dvc.yaml").write_text("stages: {a: {cmd: read x; touch out, outs: [out]}}")
    command = [sys.executable, "-m", "dvc", "repro"]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=repository, **options) as running:
        assert running.stdout is not None
        assert any(b"read x" in line for line in running.stdout)
        found = status_of(repository)
        running.communicate(b"\n")
    assert found == Finding("artifacts", "not known: a stage is running", "note")


def test_the_stages_of_a_study_lie_beside_its_folder(tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    assert definition(study) == study / "dvc.yaml"
    (tmp_path / "dvc.yaml").touch()
    assert definition(study) == tmp_path / "dvc.yaml"
    (study / "dvc.yaml").touch()
    assert definition(study) == study / "dvc.yaml"


def test_a_remote_that_is_there_or_gone(repository: Path) -> None:
    assert remote(repository) == Finding("remote", "none is configured", "note")
    place = repository / "store"
    with Repo(str(repository)).config.edit() as values:
        values["core"]["remote"] = "mine"
        values["remote"] = {"mine": {"url": str(place)}}
    with pytest.raises(UserError, match=r"mine: .*/store is not there; mount it"):
        remote(repository)
    place.mkdir()
    assert remote(repository).state == "good"


def test_a_locked_and_a_damaged_database_cannot_be_written(project: Path) -> None:
    assert tracking(project).state == "good"
    with closing(sqlite3.connect(project / "mlflow.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match=r"cannot be written \(database is locked\)"):
            tracking(project)
    (project / "mlflow.db").write_text("no database, whatever its name")
    with pytest.raises(UserError, match="cannot be written"):
        tracking(project)


def test_runs_of_dead_processes_are_counted_and_those_of_living_ones_are_not(project: Path) -> None:
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    for pid in (str(ended.pid), process_tags()["pid"]):
        client.create_run("0", tags=process_tags() | {"pid": pid})
    found = tracking(project)
    assert found.state == "note"
    assert "1 runs of killed processes" in found.text


@pytest.fixture
def server() -> Iterator[str]:
    """What answers every question with 404, but /health."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as answering:
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{answering.server_port}"
        answering.shutdown()


def test_a_tracking_server_answers_or_does_not(
    project: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert tracking(project) == Finding("tracking", f"{server} answers")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{server}/elsewhere")
    with pytest.raises(UserError, match="404"):
        tracking(project)


def test_no_password_is_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+none://me:hunter2@host/runs")
    with pytest.raises(UserError, match=r"mysql\+none://host/runs cannot be used") as refused:
        tracking(project)
    assert "hunter2" not in str(refused.value)


def test_what_is_left_in_the_making_is_named(tmp_path: Path) -> None:
    assert leftovers(tmp_path) == Finding("leftovers", "none")
    folder = tmp_path / "data/tune"
    folder.mkdir(parents=True)
    for name in (".gitignore", f".{NO_PID}-a1b2c3d4.csv", "trials.csv"):
        (folder / name).write_text("x")
    found = leftovers(tmp_path)
    assert found.state == "note"
    assert f"data/tune/.{NO_PID}-a1b2c3d4.csv;" in found.text


def fail() -> Finding:
    raise ZeroDivisionError("by\nnothing")


def refuse() -> Finding:
    raise UserError("mend it")


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (fail, "could not be checked: ZeroDivisionError: by nothing"),
        (refuse, "mend it"),
        (lambda: threading.Event().wait() and None, "no answer in 0 s; look at it by hand"),
    ],
)
def test_a_check_that_fails_or_hangs_is_a_finding(check: Callable[[], Finding], text: str) -> None:
    assert checked("it", check, patience=0.2) == Finding("it", text, "mend")
