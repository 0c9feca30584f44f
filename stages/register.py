"""Register a fine-tuned model with MLflow, as the model that `cot export mlflow` writes."""

import tempfile
from pathlib import Path

from rich.console import Console

from pipeline.artifacts import Store
from pipeline.common.project import project_root
from pipeline.deployment.exports import export, form_named
from pipeline.deployment.registry import check_names, register
from pipeline.deployment.target_model import trained_method
from pipeline.params import Params


def run(params: Params, name: str, method: str | None, alias: str | None) -> None:
    check_names(name, alias)
    form = form_named("mlflow", params.source_model.name)
    store = Store(project_root(), params.sample)
    method = trained_method(store, params.fine_tune.methods, method)
    with tempfile.TemporaryDirectory() as folder:
        description, _ = export(store, params, form, method, Path(folder))
        version = register(store, Path(folder), description, name, alias)
    named = f"models:/{name}@{alias}" if alias else f"models:/{name}/{version}"
    Console().print(
        f"{name} version {version} is {method}, seed {params.sample}: {named}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
