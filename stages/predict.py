"""Classify images by a fine-tuned model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.deployment.found import (
    Form,
    named,
    others,
    probability,
    ranked,
    tell_rows,
    tell_unreadable,
)
from pipeline.deployment.images import Opened, find_images, open_images
from pipeline.deployment.target_model import TargetModel, load_target_model, trained_method
from pipeline.params import Params

COLUMNS = {
    "Image": lambda row: row["path"],
    "Class": lambda row: row["class"],
    "Probability": probability,
    "Then": others,
}


def run(
    params: Params,
    files: Sequence[Path],
    method: str | None,
    form: Form,
    output: Path | None,
    top: int,
) -> None:
    paths = find_images(files)
    store = Store(project_root(), params.sample)
    method = trained_method(store, params.fine_tune.methods, method)
    model = load_target_model(store, params, method)
    rows: list[dict[str, Any]] = []
    unreadable: dict[Path, str] = {}
    with progress("predict", len(paths)) as advance:
        for opened in open_images(paths, model.stored_size, model.interpolation):
            rows += list(predicted(model, opened, top))
            unreadable |= opened.unreadable
            advance(len(opened.paths) + len(opened.unreadable))
    if not rows:
        raise UserError(f"none of the images can be read: {named(unreadable)}")
    summary = f"By {method}, calibrated at its own temperature {model.temperature:.2f}"
    tell_rows(rows, COLUMNS, summary, form, output)
    tell_unreadable(unreadable, len(paths), "images")


def predicted(model: TargetModel, opened: Opened, top: int) -> Iterator[dict[str, Any]]:
    """A row an image: path, class, probability (calibrated), and top, the most probable classes
    with their probabilities.
    """
    if not opened.paths:
        return
    probabilities = model.probabilities(opened.squares).tolist()
    for path, values in zip(opened.paths, probabilities, strict=True):
        best = ranked(model.classes, values, top)
        yield {"path": str(path), **best[0], "top": best}
