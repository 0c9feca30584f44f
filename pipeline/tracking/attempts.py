"""Calls of MLflow that may fail: a tracking server that goes away costs a stage no work."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow.environment_variables import (
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
)
from mlflow.exceptions import MlflowException

from pipeline.common.errors import one_line, without_password

# After 0, 4, 8 and 16 seconds: a server that is started again is waited for. By itself MLflow tries
# again for four minutes, in each of the many calls of a stage.
RETRIES = "4"
AT_ONCE = {MLFLOW_HTTP_REQUEST_MAX_RETRIES.name: "0", MLFLOW_HTTP_REQUEST_TIMEOUT.name: "10"}

log = logging.getLogger(__name__)


def refusal(error: Exception) -> str:
    """Why MLflow, or its database, refused, for a message: without passwords and statements."""
    return without_password(one_line(error)).partition(" [SQL: ")[0][:160]


def limit_waits() -> None:
    """Have MLflow wait half a minute for a server, where its own variable says nothing else."""
    os.environ.setdefault(MLFLOW_HTTP_REQUEST_MAX_RETRIES.name, RETRIES)


class Attempts:
    """Calls whose failure is said once for all runs of a stage.

    While the server is away, only the first of them waits for it. After an interrupt in the middle
    of a call none is made any more: a transaction that was cut off locks the database for as long
    as this process lives. The next stage ends the run.
    """

    def __init__(self) -> None:
        self._told = False
        self._is_away = False
        self._was_cut = False

    def wait_again(self) -> None:
        """Let the next call wait for a server that was away."""
        self._is_away = False

    def make(self, run_id: str, call: Any, *arguments: Any, **options: Any) -> bool:
        """Whether the call succeeded; `run_id` is the run that it is about."""
        if self._was_cut:
            return False
        try:
            if self._is_away:
                with _at_once():
                    call(*arguments, **options)
            else:
                call(*arguments, **options)
        except (MlflowException, OSError) as error:
            if not self._told:
                log.warning("MLflow run %s cannot be written: %s", run_id, refusal(error))
            self._told = self._is_away = True
            return False
        except (KeyboardInterrupt, SystemExit):
            self._was_cut = True
            raise
        self._is_away = False
        return True


@contextmanager
def _at_once() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in AT_ONCE}
    os.environ.update(AT_ONCE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
