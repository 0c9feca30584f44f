"""Where runs are kept: a SQLite database beside the main pipeline, or MLFLOW_TRACKING_URI."""

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from pipeline.common.errors import UserError, without_password
from pipeline.common.project import main_root, tracking_root
from pipeline.tracking.attempts import limit_waits, refusal
from pipeline.tracking.views import STATE, TAG, share_view

EXPERIMENT = "co-tuning"
GROUPS_LOCK = ".mlflow-groups.lock"
MOST_PARAMS = 100  # that MLflow takes at once
LOCK_PATIENCE = 20  # seconds that a database locked by another process is waited for

logging.getLogger("mlflow").setLevel(logging.WARNING)
# What a database refuses is said by `refusing`, in one line; here it has a traceback.
logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)


def connect(root: Path) -> tuple[MlflowClient, str]:
    """A client, and the id of the experiment of the pipeline that lies in `root`.

    Raises:
        UserError: the tracking server or database cannot be reached or stays locked.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    name = experiment_name(root)
    with refusing(root):
        if uri is not None:
            limit_waits()
            return _open(MlflowClient(uri), name, None)
        database = _database(root)
        with FileLock(database.with_name(".mlflow.lock"), timeout=LOCK_PATIENCE * 6):
            _use_write_ahead_log(database)
            client = MlflowClient(f"sqlite:///{database}?timeout={LOCK_PATIENCE}")
            return _open(client, name, database.with_name("mlruns").as_uri())


@contextmanager
def refusing(root: Path) -> Iterator[None]:
    """Say in one line that MLflow does not do what the block asks of it.

    Raises:
        UserError: the tracking server or database cannot be reached or stays locked.
    """
    try:
        yield
    except (MlflowException, OSError, sqlite3.Error, SQLAlchemyError) as error:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        shown = without_password(uri or str(_database(root)))
        advice = "close the program that locks it, or set MLFLOW_TRACKING_URI"
        if uri:
            advice = "see that it runs and can be written, or change MLFLOW_TRACKING_URI"
        raise UserError(f"MLflow at {shown} cannot be used: {refusal(error)}; {advice}") from None


def standing_run(
    client: MlflowClient,
    experiment: str,
    query: str,
    name: str,
    tags: Mapping[str, str],
    params: Sequence[Param] = (),
) -> str:
    """The id of a run that others lie below: the one that a query finds, else a new one.

    It is FINISHED from the beginning, since nothing tells when what lies below it is over. Call it
    under a lock: two that look at once would both make one.
    """
    if known := client.search_runs([experiment], query, max_results=1):
        return str(known[0].info.run_id)
    run_id = str(client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id)
    for first in range(0, len(params), MOST_PARAMS):
        client.log_batch(run_id, params=params[first : first + MOST_PARAMS])
    client.set_terminated(run_id)
    return run_id


def experiment_name(root: Path) -> str:
    """co-tuning for the repository's main pipeline, else the name of the pipeline's folder."""
    return EXPERIMENT if root == main_root(root) else root.name


def _database(root: Path) -> Path:
    return tracking_root(root) / "mlflow.db"


def _open(client: MlflowClient, name: str, artifacts: str | None) -> tuple[MlflowClient, str]:
    if experiment := client.get_experiment_by_name(name):
        share_view(client, experiment)
        return client, experiment.experiment_id
    return client, client.create_experiment(name, artifact_location=artifacts, tags={TAG: STATE})


def _use_write_ahead_log(database: Path) -> None:
    connection = sqlite3.connect(database, timeout=LOCK_PATIENCE)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    finally:
        connection.close()
