"""Register a fine-tuned model with MLflow, as the model that `cot export mlflow` writes."""

from pathlib import Path

from pipeline.artifacts import Store
from pipeline.common.project import project_root
from pipeline.deployment.description import Description
from pipeline.deployment.exports import export, form_named
from pipeline.deployment.registry import check_names, register_exported
from pipeline.deployment.target_model import trained_method
from pipeline.params import Params


def run(params: Params, name: str, method: str | None, alias: str | None) -> None:
    check_names(name, alias)
    form = form_named("mlflow", params.source_model.name)
    store = Store(project_root(), params.sample)
    method = trained_method(store, params.fine_tune.methods, method)

    def write(folder: Path) -> Description:
        return export(store, params, form, method, folder)[0]

    register_exported(store, write, name, alias)
