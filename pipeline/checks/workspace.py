"""What lies in the project: artifacts, runs, the remote, and what killed processes left."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

from pipeline.checks.finding import Finding
from pipeline.common.errors import UserError, without_password
from pipeline.common.processes import is_alive, unfinished
from pipeline.common.project import definition, tracking_root
from pipeline.datasets.listing import name_some
from pipeline.subproject import CODE, stages_of

RWLOCK = ".dvc/tmp/rwlock"
BUSY = re.compile("acquire lock|being blocked by")
GONE = ("deleted", "not in cache")
DEAD = """select host.run_uuid, host.value, pid.value from tags host
    join tags pid on pid.run_uuid = host.run_uuid and pid.key = 'pid'
    join runs on runs.run_uuid = host.run_uuid
    where host.key = 'host' and runs.status = 'RUNNING'"""


def start_status(root: Path) -> "subprocess.Popen[str]":
    """Begin what `artifacts` reads, since DVC takes seconds."""
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "status", "--json", "dvc.yaml"],
        cwd=definition(root).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def artifacts(status: "subprocess.Popen[str]", patience: float) -> Finding:
    """Which stages DVC would run again, and why."""
    try:
        out, err = status.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        status.kill()
        text = f"not known: `dvc status` takes over {patience:.0f} s, where it sees images first"
        return Finding("artifacts", text, "note")
    if status.returncode:
        if BUSY.search(err):
            return Finding("artifacts", "not known: a stage is running", "note")
        reason = " ".join(err.split()).removeprefix("ERROR: ") or "no reason given"
        if "RWLock" in err:  # which DVC does not write aside
            reason = f"a kill left {RWLOCK} half-written; delete it"
        return Finding("artifacts", f"`dvc status`: {reason}", "mend")
    changed = json.loads(out)
    missing = [stage for stage, why in changed.items() if _is_missing(why)]
    stale = [stage for stage in changed if stage not in missing]
    named = [
        f"{what}: {name_some(names, limit=3)}"
        for what, names in (("missing", missing), ("stale", stale))
        if names
    ]
    if named:
        return Finding("artifacts", f"{'; '.join(named)}; `dvc repro` makes them", "note")
    return Finding("artifacts", "all are up to date")


def _is_missing(why: list[object]) -> bool:
    changes = [entry.get("changed outs", {}) for entry in why if isinstance(entry, dict)]
    return any(state in GONE for outs in changes for state in outs.values())


def stages(root: Path) -> Finding:
    """Whether a project's code and dvc.yaml are those of its checkout."""
    checkout = tracking_root(root)
    if (shared := definition(root)).parent != root:
        return Finding("stages", f"those of the studies in {shared}")
    if not (root / "dvc.yaml").is_file():
        raise UserError(f"{root / 'dvc.yaml'} is missing; `git checkout dvc.yaml` brings it back")
    broken = [name for name in CODE if not (root / name).is_dir()]
    if not (root / CODE[0]).is_symlink() and not broken:
        return Finding("stages", f"{root / 'dvc.yaml'}")
    if broken:
        raise UserError(f"{root / broken[0]} leads nowhere; `cot init` makes the link anew")
    if (root / "dvc.yaml").read_text() != stages_of(root, checkout / "dvc.yaml"):
        text = "dvc.yaml is not that of the checkout; `cot init <images> --as .` copies it"
        return Finding("stages", text, "note")
    return Finding("stages", f"those of {checkout}")


def tracking(root: Path) -> Finding:
    """Whether runs can be written where they go."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        return _database(tracking_root(root) / "mlflow.db")
    try:
        if uri.startswith("http"):
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=4).close()
        else:
            # It takes seconds to import.
            from mlflow import MlflowClient

            MlflowClient(uri).search_experiments(max_results=1)
    except Exception as error:  # whatever a driver raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        shown, reason = without_password(uri), without_password(reason)
        raise UserError(
            f"MLFLOW_TRACKING_URI {shown} cannot be used: {reason}; start that server, or unset it"
        ) from None
    return Finding("tracking", f"{without_password(uri)} answers")


def _database(path: Path) -> Finding:
    if not path.exists():
        return Finding("tracking", f"{path} will be made by the first stage")
    try:
        with closing(sqlite3.connect(path, timeout=2)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
            running = connection.execute(DEAD).fetchall()
    except sqlite3.Error as error:
        raise UserError(
            f"{path} cannot be written ({error}); close the program that locks it, or move a "
            "damaged file away"
        ) from None
    here = socket.gethostname()
    dead = [run for run, host, pid in running if host == here and not is_alive(int(pid))]
    if dead:
        text = f"{len(dead)} runs of killed processes are still RUNNING; the next stage ends them"
        return Finding("tracking", f"{path}; {text}", "note")
    return Finding("tracking", f"{path} can be written")


def remote(root: Path) -> Finding:
    """Whether the place that `dvc push` writes to is there."""
    from dvc.repo import Repo

    with Repo(str(root)) as repository:
        name = repository.config["core"].get("remote")
        if name is None:
            return Finding("remote", "none is configured", "note")
        place = repository.cloud.get_remote(name)
        is_there = place.fs.exists(place.path)
        if not is_there and place.fs.protocol == "local":
            raise UserError(f"{name}: {place.path} is not there; mount it, or `mkdir` it")
        return Finding("remote", f"{name}: {place.path} can be reached")


def leftovers(root: Path) -> Finding:
    """Files in the making that nothing will finish, and work that the next run goes on with."""
    found = unfinished(root / "data")
    kept = [path.stat().st_size for path in (root / ".work").rglob("*") if path.is_file()]
    work = f"{sum(kept) / 1e6:.1f} MB in {root / '.work'} that stages go on with"
    if found:
        named = name_some([os.path.relpath(path, root) for path in found], limit=2)
        text = f"unfinished files, which may be deleted: {named}"
        return Finding("leftovers", f"{text}; {work}", "note")
    return Finding("leftovers", work if sum(kept) else "none")
