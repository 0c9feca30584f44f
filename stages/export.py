"""Export a fine-tuned model for other programs, checked against PyTorch on prepared images."""

from pathlib import Path

from pipeline.artifacts import Store
from pipeline.common.files import write_folder_aside
from pipeline.common.project import project_root
from pipeline.deployment.exports import export, form_named, require_replaceable, tell_exported
from pipeline.deployment.target_model import trained_method
from pipeline.params import Params


def run(params: Params, form: str, method: str | None, output: Path | None) -> None:
    chosen = form_named(form, params.source_model.name)
    store = Store(project_root(), params.sample)
    folder = store.root / "exports" / form if output is None else output.absolute()
    require_replaceable(folder)
    method = trained_method(store, params.fine_tune.methods, method)
    with write_folder_aside(folder) as aside:
        _, found = export(store, params, chosen, method, aside)
    tell_exported(
        folder,
        f"{method} as {form}; on {found.images} images the same class as PyTorch on "
        f"{found.same_class}, probabilities within {found.largest_difference:.1e}.",
    )
