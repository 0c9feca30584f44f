"""The small project that soak.py disturbs, and how it is told from an undisturbed one."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from ruamel.yaml import YAML
from small_project import SMALL, call, copy_project, draw_photos, identify, write_params

from pipeline.checks.workspace import RWLOCK

STAGES = (
    *("prepare-data", "extract-logits", "calibrate", "tune", "fit-relationship"),
    *("fine-tune", "evaluate", "report"),
)
SEARCH = STAGES.index("tune")
SMALLER = SMALL | {
    "fine_tune": SMALL["fine_tune"] | {"epochs": 3, "methods": ["vanilla", "co-tuning"]},
}
# Ids of runs, and the seconds that a trial took.
DIFFERING = ("run.json", "trials.csv")


def make_project(project: Path) -> Path:
    copy_project(project)
    draw_photos(project / "photos")
    write_params(project, SMALLER)
    call(project, "git", "init", "--quiet")
    identify(project)
    return project


def repro(project: Path, environment: Mapping[str, str] | None = None) -> float:
    """Run `dvc repro` to the end; give the seconds that it took."""
    begin = time.monotonic()
    started = start(project, "dvc", "repro", environment=environment)
    printed, said = started.communicate()
    if started.returncode:
        sys.exit(f"dvc repro failed:\n{printed}\n{said}")
    return time.monotonic() - begin


def start(
    project: Path, *command: str, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start a command that leads a group of processes; what it prints is kept."""
    return subprocess.Popen(
        command,
        cwd=project,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(started: "subprocess.Popen[str]") -> None:
    """Kill a command with all that it started, if it has not ended."""
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGKILL)
    started.communicate()


def mend_lock(project: Path) -> bool:
    """Delete DVC's list of what is in use, where a kill left it half-written; say whether that was
    so.
    """
    lock = project / RWLOCK
    try:
        json.loads(lock.read_text())
    except FileNotFoundError:
        return False
    except ValueError:
        lock.unlink()
        return True
    return False


def throw_away(project: Path, first: int) -> None:
    """What the stages from a place on have made, and all by which DVC could bring it back."""
    for stage in STAGES[first:]:
        shutil.rmtree(project / "data" / stage, ignore_errors=True)
    for place in (".dvc/cache/runs", ".work"):
        shutil.rmtree(project / place, ignore_errors=True)
    yaml, path = YAML(), project / "dvc.lock"
    lock = yaml.load(path.read_text())
    for name in list(lock["stages"]):
        if name.partition("@")[0] in STAGES[first:]:
            del lock["stages"][name]
    with path.open("w") as file:
        yaml.dump(lock, file)


def copy_before_search(project: Path, copy: Path) -> Path:
    """A finished project as it was before tune."""
    # With its own runs: a database that is copied names the folder of the first one.
    shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db*"))
    throw_away(copy, SEARCH)
    return copy


def hashes(project: Path) -> dict[str, str]:
    """Of what the stages made, without what differs by nature."""
    return {
        str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((project / "data").rglob("*"))
        if path.is_file() and path.name not in DIFFERING
    }


def compare(project: Path, expected: Mapping[str, str]) -> list[str]:
    """What is not as it was undisturbed."""
    found = hashes(project)
    troubles = [f"{name} differs" for name, value in expected.items() if found.get(name) != value]
    beside = [path for path in (project / "data").rglob(".*") if path.name != ".gitignore"]
    troubles += [f"{path} was left" for path in beside]
    if (status := call(project, "dvc", "status", "--json").stdout.strip()) != "{}":
        troubles.append(f"dvc status: {list(json.loads(status))}")
    return troubles + running(project / "mlflow.db")


def running(database: Path) -> list[str]:
    """What is said of the runs that are left RUNNING."""
    return [
        f"run {run.info.run_name} is RUNNING"
        for run in runs(database)
        if run.info.status == "RUNNING"
    ]


def runs(database: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{database}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    return list(client.search_runs(experiments))


def say(what: str, troubles: list[str]) -> None:
    """Print how a round ended; end all where it is not as undisturbed."""
    print(f"{what}: {'; '.join(troubles) or 'as undisturbed'}", flush=True)
    if troubles:
        sys.exit(1)
