"""Rounds of soak.py in which the tracking server dies while fine-tune trains."""

import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from mlflow.entities import Run
from serving_cot import free_port
from soak_project import (
    STAGES,
    compare,
    kill,
    repro,
    running,
    runs,
    say,
    start,
    throw_away,
)

AWAY_EVERY = 3
LONGEST_AWAY = 15.0  # seconds until it is started again, where it comes back while fine-tune trains
PATIENCE = 300.0  # seconds for a server to start, or for a stage to begin or end
FIRST = STAGES.index("fine-tune")
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def server_rounds(
    project: Path, expected: Mapping[str, str], place: Path, count: int, draw: random.Random
) -> None:
    """Run the rounds; in every third one the server stays away until fine-tune is over.

    Args:
        project: a finished one.
        expected: the hashes of what it made.
        place: folder of the server.
    """
    if not count:
        return
    training = max(map(_seconds, _trainings(project / "mlflow.db")))
    server = TrackingServer(place)
    try:
        for number in range(count):
            moment = draw.uniform(0, training)
            stays_away = number % AWAY_EVERY == AWAY_EVERY - 1
            pause = None if stays_away else draw.uniform(0, LONGEST_AWAY)
            what, troubles = _round(project, server, moment, pause)
            troubles += compare(project, expected) + running(server.database)
            away = "until it was over" if pause is None else f"for {pause:.1f} s"
            what = f"killed {moment:.1f} s into fine-tune, away {away}; {what}"
            say(f"server {number + 1} of {count}: {what}", troubles)
    finally:
        server.kill()


def _round(
    project: Path, server: "TrackingServer", moment: float, pause: float | None
) -> tuple[str, list[str]]:
    """Kill the server while fine-tune trains.

    Args:
        moment: seconds from the beginning of the first fine-tune.
        pause: seconds after which the server is started again; None when all is over.

    Returns:
        How `dvc repro` went on, and what it should not have done.
    """
    throw_away(project, FIRST)
    server.start()
    known = len(_trainings(server.database))
    environment = {"MLFLOW_TRACKING_URI": server.url}
    started = start(project, "dvc", "repro", environment=environment)
    _wait(lambda: len(_trainings(server.database)) > known or started.poll() is not None)
    time.sleep(moment)
    server.kill()
    if pause is not None:
        time.sleep(pause)
        server.start()
    begin = time.monotonic()
    try:
        _, said = started.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        kill(started)
        return "", [f"dvc repro did not end in {PATIENCE:.0f} s"]
    how = f"dvc repro ended after {time.monotonic() - begin:.0f} s"
    troubles = []
    if started.returncode:
        errors = [line for line in said.splitlines() if line.startswith("Error: ")]
        if len(errors) != 1 or "Traceback" in said:
            troubles = [f"it ended in\n{said}"]
        how += f" in `{errors[0][:60] if errors else ''}...` and went on when called again"
    server.start()
    repro(project, environment)
    return how, troubles


class TrackingServer:
    """An `mlflow server` with a folder of its own, which can be killed and started again."""

    def __init__(self, place: Path) -> None:
        self.place, self.database = place, place / "runs.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Have it answer."""
        if self._process is not None:
            return
        command = ("mlflow", "server", "--workers", "1", "--port", str(self.port))
        store = ("--backend-store-uri", f"sqlite:///{self.database}")
        files = ("--artifacts-destination", str(self.place / "artifacts"))
        with (self.place / "log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, *store, *files],
                cwd=self.place,
                env={**os.environ, **NO_JOBS},
                start_new_session=True,
                stdout=log,
                stderr=log,
                text=True,
            )
        _wait(self._answers)

    def kill(self) -> None:
        if self._process is not None:
            kill(self._process)
        self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                return True
        except OSError:
            return False


def _trainings(database: Path) -> list[Run]:
    return [run for run in runs(database) if run.data.tags.get("stage") == "fine-tune"]


def _seconds(run: Run) -> float:
    return float(run.info.end_time - run.info.start_time) / 1000


def _wait(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"nothing happened in {PATIENCE:.0f} s")
        time.sleep(0.2)
