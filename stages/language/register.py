"""Register a fine-tuned tagger with MLflow, as the model that `cot export mlflow` writes."""

from pathlib import Path

from pipeline.common.project import project_root
from pipeline.deployment.registry import check_names, register_exported
from pipeline.deployment.target_model import trained_method
from pipeline.deployment.text_description import TextDescription
from pipeline.language.artifacts import TextStore
from pipeline.params import LanguageParams
from stages.language.exporting import MLFLOW, export_text


def run(params: LanguageParams, name: str, method: str | None, alias: str | None) -> None:
    check_names(name, alias)
    store = TextStore(project_root(), params.sample)
    method = trained_method(store, params.fine_tune.methods, method)

    def write(folder: Path) -> TextDescription:
        return export_text(store, params, MLFLOW, method, folder)[0]

    register_exported(store, write, name, alias)
