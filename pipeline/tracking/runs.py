"""One MLflow run a stage: its params, its metrics by epoch, what it read and what it wrote."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException

from pipeline.common.damage import FILES, RUN, require_unchanged
from pipeline.common.files import content_hash, write_aside
from pipeline.common.processes import process_tags, unfinished
from pipeline.tracking.assets import log_datasets, log_model, log_model_input
from pipeline.tracking.attempts import Attempts, refusal
from pipeline.tracking.dead_runs import end_dead_runs
from pipeline.tracking.names import accepted, as_params
from pipeline.tracking.pipelines import PARENT, describe, link_reused, pipeline_run
from pipeline.tracking.provenance import git_tags
from pipeline.tracking.store import connect, experiment_name, refusing
from pipeline.tracking.system_metrics import system_metrics

LARGEST_LOGGED_FILE = 5_000_000  # bytes; larger artifacts are found by their hash in DVC's cache

log = logging.getLogger(__name__)


class StageRun:
    """A run that is being written. Metrics are sent in one batch an epoch.

    A tracking failure after the run has begun (a database that stays locked, a server that went
    away) must not cost the work of the stage: it is reported once, and the stage goes on. Metrics
    that were not sent are sent with the next ones.

    Args:
        pipeline: the run of the pipeline that it belongs to.
        attempts: of the run above it, which knows whether the server is away.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        root: Path,
        pipeline: str | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        self.client = client
        self.pipeline = pipeline
        self.run_id = run_id
        self.root = root
        self._unsent: list[Metric] = []
        self._attempts = attempts or Attempts()

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Record parameters, flat or nested."""
        self._try(self.client.log_batch, self.run_id, params=as_params(values))

    def log_metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Record numbers at a step (an epoch, or 0); values of None are left out."""
        now = int(time.time() * 1000)
        self._unsent += [
            Metric(accepted(name), float(value), now, step)
            for name, value in values.items()
            if value is not None
        ]
        if self._try(self.client.log_batch, self.run_id, metrics=self._unsent):
            self._unsent = []

    def log_files(self, hashes: Mapping[Path, str]) -> None:
        """Tag outputs with their hashes and upload those that are small."""
        self._attempts.wait_again()  # what was to be made is made: waiting holds nothing up
        tags = [
            RunTag(accepted(f"output.{self._name(path)}"), content)
            for path, content in hashes.items()
        ]
        self._try(self.client.log_batch, self.run_id, tags=tags)
        for path in hashes:
            if path.stat().st_size <= LARGEST_LOGGED_FILE:
                self._try(self.client.log_artifact, self.run_id, str(path))

    def set_tag(self, name: str, value: str) -> None:
        self._try(self.client.set_tag, self.run_id, name, value)

    def conclude(self, text: str, metrics: Mapping[str, float]) -> None:
        """Say on this run and on that of the pipeline what was found.

        Args:
            text: in Markdown; its beginning becomes their description.
            metrics: by name, of the pipeline's run.
        """
        self._try(describe, self.client, self.run_id, text)
        if self.pipeline:
            self._try(describe, self.client, self.pipeline, text)
            whole = StageRun(self.client, self.pipeline, self.root, attempts=self._attempts)
            whole.log_metrics(metrics)
            self._try(link_reused, self.client, self.pipeline, self.root)

    @contextmanager
    def nested(self, name: str, params: Mapping[str, Any]) -> Iterator["StageRun"]:
        """A child run, a trial say; it ends as FINISHED, or as FAILED with the block."""
        run = StageRun(self.client, "", self.root, attempts=self._attempts)

        def begin() -> None:
            parent = self.client.get_run(self.run_id)
            tags = {PARENT: self.run_id} | process_tags()
            child = self.client.create_run(parent.info.experiment_id, run_name=name, tags=tags)
            run.run_id = child.info.run_id

        self._try(begin)
        run.log_params(params)
        with run.ending():
            yield run

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Give the run the status with which the block ends; the pipeline's run ends with it."""
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        except (KeyboardInterrupt, SystemExit):
            status = "KILLED"
            raise
        finally:
            if self._unsent:
                self.log_metrics({})
            self._try(self.client.set_terminated, self.run_id, status)
            if self.pipeline:
                self._try(self.client.set_terminated, self.pipeline)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _try(self, call: Any, *arguments: Any, **options: Any) -> bool:
        # A child of which the server was never told has no id.
        return bool(self.run_id) and self._attempts.make(self.run_id, call, *arguments, **options)


@contextmanager
def stage_run(
    root: Path,
    stage: str,
    params: Mapping[str, Any],
    inputs: Sequence[Path],
    outputs: Path,
    of: Mapping[str, str | int] | None = None,
) -> Iterator[StageRun]:
    """Open the MLflow run of a stage, and leave its id in `outputs`/run.json, with hashes of
    what it wrote.

    Args:
        root: the project's folder; the default database is <root>/mlflow.db.
        stage: its name, also the run's.
        params: of the stage's section, flat or nested.
        inputs: artifacts that it read; their hashes become tags.
        outputs: its folder; every file below it at the end is hashed and, if small, uploaded.
        of: the method, the seed, of a stage that runs once for each.

    Raises:
        UserError: the tracking server or database cannot be reached or stays locked; or an input
            is not what its stage wrote.
    """
    client, experiment = connect(root)
    of = of or {}
    name = stage + ("@" + "-".join(map(str, of.values())) if of else "")
    with refusing(root):
        end_dead_runs(client, experiment, root)
    command = " ".join(["cot stage", stage, *(f"--{key} {value}" for key, value in of.items())])
    state = git_tags(root)
    tags = process_tags() | state | {"stage": stage}
    tags |= {key: str(value) for key, value in of.items()}
    tags |= {"mlflow.source.type": "LOCAL", "mlflow.source.name": command}
    read = {path: content_hash(path) for path in inputs}
    for path, content in read.items():
        require_unchanged(root, path, content)
    # A study reads what lies in the folders of others.
    names = {path: Path(os.path.relpath(path, root)).as_posix() for path in inputs}
    tags |= {accepted(f"input.{names[path]}"): content for path, content in read.items()}
    parent = _pipeline(client, experiment, root, state)
    tags |= {PARENT: parent} if parent else {}
    with refusing(root):
        created = client.create_run(experiment, run_name=name, tags=tags)
    run = StageRun(client, created.info.run_id, root, parent)
    run.log_params({**params, **of})
    run._try(log_datasets, client, run.run_id, root, read)
    run._try(log_model_input, client, experiment, run.run_id, read)
    for path in (outputs / RUN, *unfinished(outputs)):
        path.unlink(missing_ok=True)
    with run.ending():
        with system_metrics(client, run.run_id):
            yield run
        files = sorted(path for path in outputs.rglob("*") if path.is_file())
        written = {path: content_hash(path) for path in files}
        run.log_files(written)
        run._try(log_model, client, experiment, run.run_id, outputs, written, of)
        left = {
            "run_id": run.run_id,
            "experiment": experiment_name(root),
            FILES: {path.relative_to(outputs).as_posix(): one for path, one in written.items()},
        }
        with write_aside(outputs / RUN) as aside:
            aside.write_text(json.dumps(left, indent=2) + "\n")


def _pipeline(
    client: MlflowClient, experiment: str, root: Path, state: Mapping[str, str]
) -> str | None:
    try:
        return pipeline_run(client, experiment, root, state)
    except (MlflowException, OSError) as error:
        log.warning("the MLflow run of the pipeline cannot be written: %s", refusal(error))
        return None


def join_run(root: Path, run_id: str) -> StageRun:
    """Write to a run that another process of the same stage has open."""
    client, _ = connect(root)
    return StageRun(client, run_id, root)
