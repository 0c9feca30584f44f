"""Export a fine-tuned tagger for other programs, checked against PyTorch on test sentences."""

from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import write_folder_aside
from pipeline.common.project import project_root
from pipeline.deployment.exports import require_replaceable, tell_exported
from pipeline.deployment.target_model import trained_method
from pipeline.language.artifacts import TextStore
from pipeline.params import LanguageParams
from stages.language.exporting import FORMS, export_text


def run(params: LanguageParams, form: str, method: str | None, output: Path | None) -> None:
    if form not in FORMS:
        raise UserError(f"got {form}; a model of text is exported as {' or '.join(FORMS)}")
    store = TextStore(project_root(), params.sample)
    folder = store.root / "exports" / form if output is None else output.absolute()
    require_replaceable(folder)
    method = trained_method(store, params.fine_tune.methods, method)
    with write_folder_aside(folder) as aside:
        _, found = export_text(store, params, form, method, aside)
    tell_exported(folder, f"{method} as {form}; {found}.")
