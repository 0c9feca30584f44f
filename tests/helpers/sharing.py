"""Processes that tests start, hear from, and let go on or kill at a moment that both know of."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import optuna
from optuna.storages.journal import JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from pipeline.search.storage import open_storage

PATIENCE = 300.0  # seconds; ends what would wait for ever, and is far from what any wait takes

NO_PID = 2**22 + 1  # above the largest of Linux

# Forked from a server that has imported once what takes seconds. Each process would import pytest
# too, as the program that started it.
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["pytest", "stages.tune", "stages.fine_tune_cells"])
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command does before such imports


class Started:
    """A process that calls `work`, which it can import, with its end of a pipe and the arguments.

    It leads a group with the processes that it starts, and ends with the tests.
    """

    def __init__(self, work: Callable[..., None], *arguments: object) -> None:
        self.line, theirs = FORKING.Pipe()
        self.process = FORKING.Process(target=_lead, args=(work, theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()

    def says(self) -> Any:
        """What it sends next."""
        assert self.line.poll(PATIENCE), "it says nothing"
        return self.line.recv()

    def go_on(self) -> None:
        self.line.send("go on")

    def end(self) -> int | None:
        """How it ended, once it has."""
        self.process.join(PATIENCE)
        return self.process.exitcode

    def kill(self, place: str = "sqlite://") -> None:
        """Kill it with those that it started, while none of them writes to the storage."""
        # The lock of a journal outlives a process, that of a database does not.
        lock = None if "://" in place else JournalFileOpenLock(place)
        if lock:
            lock.acquire()
        os.killpg(self.process.pid, signal.SIGKILL)
        assert self.end() == -signal.SIGKILL
        if lock:
            lock.release()


def _lead(work: Callable[..., None], *arguments: object) -> None:
    os.setsid()
    multiprocessing.current_process().daemon = False  # which could start none
    work(*arguments)


def meet(line: Connection, at: object = "ready") -> None:
    """Say where this process is, and wait for the word."""
    line.send(at)
    line.recv()


def let_go(*started: Started) -> None:
    """Let processes that meet go on at the same moment."""
    for one in started:
        assert one.says() == "ready"
    for one in started:
        one.go_on()


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.02)


def trials(place: str, name: str, *states: TrialState) -> list[FrozenTrial]:
    """Those of a study."""
    study = optuna.load_study(storage=open_storage(place), study_name=name)
    return study.get_trials(states=states or None)


def environment() -> dict[str, str]:
    """What a process needs to import what the tests import."""
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    given.pop("MLFLOW_TRACKING_URI", None)
    return given
