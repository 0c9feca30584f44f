"""A version in MLflow's model registry, with what is behind it."""

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from rich.console import Console

from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.common.files import content_hash
from pipeline.common.processes import process_tags
from pipeline.deployment.model_card import CARD
from pipeline.tracking.attempts import refusal
from pipeline.tracking.provenance import git_tags
from pipeline.tracking.runs import StageRun
from pipeline.tracking.store import connect

DATA = "input.data/"  # what tags of a run begin with that are hashes of artifacts that it read


class Described(Protocol):
    """What a description of an exported model tells, be it of images or of text.

    Attributes:
        metrics: by name; those that are numbers are registered.
        runs: ids of the MLflow runs behind it, by stage.
    """

    @property
    def method(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def metrics(self) -> Mapping[str, Any]: ...
    @property
    def runs(self) -> Mapping[str, str]: ...


def check_names(name: str, alias: str | None) -> None:
    """Of a registered model and an alias of one of its versions.

    Raises:
        UserError: MLflow takes no such name.
    """
    if not name.strip() or re.search("[/:]", name):
        raise UserError(f"got {name!r} for the model's name; give one without / and :, as birds")
    if alias is None:
        return
    reserved = alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias)
    if reserved or not re.fullmatch(r"[\w\-]+", alias, re.ASCII):
        raise UserError(
            f"got {alias!r} for the alias; give letters, digits, - and _, as champion, and neither "
            "latest nor a version as v1"
        )


def register_exported(
    store: Store, export: Callable[[Path], Described], name: str, alias: str | None
) -> None:
    """Export a model as one of MLflow, register it, and say so on one line.

    Args:
        export: into an empty folder, as `register` takes it; gives the description.

    Raises:
        UserError: as register.
    """
    with tempfile.TemporaryDirectory() as folder:
        description = export(Path(folder))
        version = register(store, Path(folder), description, name, alias)
    named = f"models:/{name}@{alias}" if alias else f"models:/{name}/{version}"
    Console().print(
        f"{name} version {version} is {description.method}, seed {description.seed}: {named}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def register(
    store: Store, folder: Path, description: Described, name: str, alias: str | None
) -> str:
    """Log an exported MLflow model and register it; give its version.

    Its tags are the method and seed, the metrics, the runs behind it, the hashes of the data that
    it was fine-tuned on, and the commit; its description is the model card.

    Args:
        folder: a model as pipeline.deployment.pyfunc writes it, with its card.

    Raises:
        UserError: the tracking server or database cannot be reached or stays locked, or refuses.
    """
    client, experiment = connect(store.root)
    tags = _tags(client, store, description)
    created = client.create_run(experiment, run_name=f"register {name}", tags=process_tags() | tags)
    run = StageRun(client, created.info.run_id, store.root)
    try:
        with run.ending():
            return _log(client, experiment, run, folder, description, tags, name, alias)
    except (MlflowException, OSError) as error:
        raise UserError(
            f"MLflow does not register {name}: {refusal(error)}; see `mlflow ui`"
        ) from None


def _log(
    client: MlflowClient,
    experiment: str,
    run: StageRun,
    folder: Path,
    description: Described,
    tags: dict[str, str],
    name: str,
    alias: str | None,
) -> str:
    logged = client.create_logged_model(experiment, "model", run.run_id, tags=tags)
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    for metric, value in _numbers(description).items():
        client.log_metric(run.run_id, metric, value, model_id=logged.model_id)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    version = client.create_model_version(
        *(name, f"models:/{logged.model_id}", run.run_id, tags),
        description=(folder / CARD).read_text(),
        model_id=logged.model_id,
    )
    if alias is not None:
        client.set_registered_model_alias(name, alias, version.version)
    return str(version.version)


def _tags(client: MlflowClient, store: Store, description: Described) -> dict[str, str]:
    model = store.require("fine-tune", description.method, "model.safetensors")
    tags = {"stage": "register", "method": description.method, "seed": str(description.seed)}
    tags |= {f"run.{stage}": run for stage, run in description.runs.items()}
    tags |= {f"metric.{metric}": f"{value:.4g}" for metric, value in _numbers(description).items()}
    tags |= git_tags(store.root)
    tags |= _data_tags(client, description.runs.get("fine-tune"))
    path = model.relative_to(store.root).as_posix().replace("+", "_")
    return tags | {f"input.{path}": content_hash(model)}


def _data_tags(client: MlflowClient, run_id: str | None) -> dict[str, str]:
    """Hashes of what a training read; none where its run is in another database."""
    if run_id is None:
        return {}
    try:
        tags = client.get_run(run_id).data.tags
    except MlflowException:
        return {}
    return {name: value for name, value in tags.items() if name.startswith(DATA)}


def _numbers(description: Described) -> dict[str, float]:
    metrics = description.metrics.items()
    return {name: float(value) for name, value in metrics if isinstance(value, int | float)}
