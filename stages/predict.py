"""Classify images by a fine-tuned model."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.common.files import write_aside
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.common.tables import plain_table
from pipeline.datasets.listing import name_some
from pipeline.deployment.images import Opened, find_images, open_images
from pipeline.deployment.target_model import TargetModel, load_target_model, trained_method
from pipeline.params import Params

SHOWN = 20  # images of a table in the terminal


def run(
    params: Params,
    images: Sequence[Path],
    method: str | None,
    form: str,
    output: Path | None,
    top: int,
) -> None:
    paths = find_images(images)
    store = Store(project_root(), params.sample)
    model = load_target_model(store, params, trained_method(store, params, method))
    rows: list[dict[str, Any]] = []
    unreadable: dict[Path, str] = {}
    with progress("predict", len(paths)) as advance:
        for opened in open_images(paths, model.stored_size, model.interpolation):
            rows += list(predicted(model, opened, top))
            unreadable |= opened.unreadable
            advance(len(opened.paths) + len(opened.unreadable))
    if not rows:
        raise UserError(f"none of the images can be read: {_named(unreadable)}")
    if form == "table" and output is None:
        show(rows, model)
    else:
        write(rows, output, "csv" if form == "table" else form)
    if unreadable:
        message = f"{len(unreadable)} of {len(paths)} images cannot be read: {_named(unreadable)}"
        Console(stderr=True).print(message, markup=False, highlight=False, soft_wrap=True)


def predicted(model: TargetModel, opened: Opened, top: int) -> Iterator[dict[str, Any]]:
    """A row an image: path, class, probability (calibrated), and top, the most probable classes
    with their probabilities.
    """
    if not opened.paths:
        return
    best = model.probabilities(opened.squares).topk(min(top, len(model.classes)), dim=1)
    for path, values, indices in zip(opened.paths, best.values, best.indices, strict=True):
        pairs = zip(indices.tolist(), values.tolist(), strict=True)
        ranked = [{"class": model.classes[index], "probability": value} for index, value in pairs]
        yield {"path": str(path), **ranked[0], "top": ranked}


def show(rows: Sequence[dict[str, Any]], model: TargetModel) -> None:
    table = plain_table()
    table.add_column("Image", overflow="fold")
    table.add_column("Class")
    table.add_column("Probability", justify="right")
    table.add_column("Then", overflow="fold")
    for row in rows[:SHOWN]:
        others = (f"{one['class']} {one['probability']:.1%}" for one in row["top"][1:])
        table.add_row(row["path"], row["class"], f"{row['probability']:.1%}", ", ".join(others))
    console = Console()
    console.print(table, markup=False)
    rest = f"; {len(rows) - SHOWN:,} more, all of them by --format csv" if len(rows) > SHOWN else ""
    console.print(
        f"By {model.method}, calibrated at its own temperature {model.temperature:.2f}{rest}.",
        markup=False,
        highlight=False,
    )


def write(rows: Sequence[dict[str, Any]], output: Path | None, form: str) -> None:
    """As CSV or JSON lines, into a file or to the terminal."""
    if form == "json":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = pd.DataFrame(map(_flat, rows)).to_csv(index=False)
    if output is None:
        sys.stdout.write(text)
        return
    with write_aside(output) as aside:
        aside.write_text(text, encoding="utf-8")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat = {name: row[name] for name in ("path", "class", "probability")}
    for place, one in enumerate(row["top"][1:], 2):
        flat |= {f"class_{place}": one["class"], f"probability_{place}": one["probability"]}
    return flat


def _named(unreadable: dict[Path, str]) -> str:
    return name_some([f"{path} ({reason})" for path, reason in unreadable.items()])
