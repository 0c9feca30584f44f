"""Processes that share trials, started together, watched, and killed where it harms nobody else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

from pipeline.search.storage import open_storage


def environment() -> dict[str, str]:
    """What a process needs to import what the tests import."""
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    given.pop("MLFLOW_TRACKING_URI", None)
    return given


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a script in a process of its own, which leads a group with its workers."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(),
    )


def let_go(*processes: subprocess.Popen[str]) -> None:
    """Let scripts that wrote `ready` go on at the same moment."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("now\n")
        process.stdin.flush()


def outputs(*processes: subprocess.Popen[str]) -> list[str]:
    """What each wrote, once all have ended well."""
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), answers
    return [answer[0] for answer in answers]


def trials(place: str, name: str, *states: TrialState) -> list[FrozenTrial]:
    """Those of a study, none where it does not exist yet."""
    try:
        study = optuna.load_study(storage=open_storage(place), study_name=name)
    except KeyError:
        return []
    return study.get_trials(states=states or None)


def kill_while_running(process: subprocess.Popen[str], place: str, name: str) -> FrozenTrial:
    """Kill a process, with its workers, that is at a trial and not just writing; the trial."""
    file = place.removeprefix("sqlite:///")
    while True:
        assert process.poll() is None, "it ended before it could be killed"
        if trials(place, name, TrialState.RUNNING):
            _stop(process.pid)
            is_writing = any(Path(file + end).exists() for end in (".lock", "-journal"))
            if not is_writing and (running := trials(place, name, TrialState.RUNNING)):
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate(timeout=60)
                return running[0]
            os.killpg(process.pid, signal.SIGCONT)
        time.sleep(0.1)


def _stop(group: int) -> None:
    os.killpg(group, signal.SIGSTOP)
    leader = psutil.Process(group)
    members = [leader, *leader.children(recursive=True)]
    ended = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    while not all(member.status() in ended for member in members):
        time.sleep(0.01)
