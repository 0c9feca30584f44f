"""Look at a folder of images and write the params that fit it."""

import json
from collections.abc import Sequence
from pathlib import Path
from shutil import disk_usage

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.common.errors import UserError
from pipeline.common.progress import progress
from pipeline.common.project import project_root, tracking_root
from pipeline.common.tables import plain_table
from pipeline.datasets.inspection import (
    Seen,
    kinds,
    look_at_all,
    summarize,
)
from pipeline.datasets.listing import name_some
from pipeline.datasets.proposal import (
    Choice,
    Machine,
    Model,
    as_overlay,
    propose,
    warnings,
)
from pipeline.datasets.readers.registry import Listing, list_image_folder
from pipeline.datasets.repeats import find_repeats
from pipeline.params import Params, load, write_values
from pipeline.sources.efficientnet_lite import MODELS as LITE
from pipeline.sources.models import published_input
from pipeline.subproject import check_place, make_project, path_from
from pipeline.training.compute import resolve_compute

SHOWN_CLASSES = 20
NAMED = 3


def run(images: Path, folder: Path | None, dry_run: bool) -> None:
    main = project_root()
    checkout = tracking_root(main)
    root = main if folder is None else folder.resolve()
    if root != main:
        check_place(root, checkout)
    existing = root / "params.yaml"
    params = load(existing if existing.exists() else checkout / "params.yaml")
    listing = listed(images.resolve())
    with progress("looking at images", len(listing.samples)) as advance:
        looks = look_at_all(listing, advance)
    console = Console()
    seen = summarize(looks, listing.classes)
    show_seen(console, images, looks, seen)
    named = path_from(root, images, checkout)
    choices = propose(seen, named, source_model(params), machine(params, checkout))
    show_choices(console, choices, params)
    for warning in warnings(seen, find_repeats(looks[looks["trouble"] == ""]), kinds(looks)):
        console.print(f"! {warning}", style="yellow", markup=False, soft_wrap=True)
    if dry_run:
        console.print("Nothing is written (--dry-run).")
        return
    if folder is not None and root != checkout:
        make_project(root, checkout)
    changes = write_values(root / "params.yaml", as_overlay(choices))
    console.print(f"{len(changes)} values written to {root / 'params.yaml'}.", soft_wrap=True)
    where = "" if root == Path.cwd() else f"cd {folder or root} && "
    console.print(f"Next: {where}dvc repro; or first {where}cot doctor", soft_wrap=True)
    if folder is not None and root != checkout:
        console.print(f"To commit it: git add {folder}; its data is ignored", soft_wrap=True)


def listed(images: Path) -> Listing:
    """The files of a folder.

    Raises:
        UserError: as list_image_folder; or the folder or one above it may not be looked into.
    """
    try:
        return list_image_folder(images, "the folder that you named")
    except OSError as error:
        raise UserError(
            f"{error.filename or images} cannot be listed: {error.strerror}; make it readable"
        ) from None


def source_model(params: Params) -> Model:
    section = params.source_model
    published = published_input(section.name, section.weights)
    return Model(section.name, published.size, published.crop_fraction, halves=section.name in LITE)


def machine(params: Params, folder: Path) -> Machine:
    device = resolve_compute(params.compute.device, params.compute.precision).device
    return Machine(device.type != "cpu", params.compute.processes, disk_usage(folder).free)


def show_seen(console: Console, images: Path, looks: pd.DataFrame, seen: Seen) -> None:
    """The classes, then what holds for all of them."""
    table = plain_table()
    table.add_column(escape(f"Class of {images}"), overflow="fold")
    counts = looks.groupby(["class_name", "split"]).size().unstack(fill_value=0)
    splits = [name for name in ("", "train", "validation", "test") if name in counts]
    for split in splits:
        table.add_column(split.capitalize() or "Images", justify="right")
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    half = SHOWN_CLASSES // 2
    is_long = len(order) > SHOWN_CLASSES
    for name in order[:half] if is_long else order:
        table.add_row(escape(name), *(str(counts.loc[name, split]) for split in splits))
    if is_long:
        table.add_row(f"... {len(order) - 2 * half} more classes ...")
        for name in order[-half:]:
            table.add_row(escape(name), *(str(counts.loc[name, split]) for split in splits))
    console.print(table)
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in described(looks, seen):
        facts.add_row(name, escape(value))
    console.print(facts)


def described(looks: pd.DataFrame, seen: Seen) -> list[tuple[str, str]]:
    """Facts about all images, a name and a value each."""
    readable = looks[looks["trouble"] == ""]
    sizes = [
        f"{name} {values.min()} / {values.median():.0f} / {values.max()}"
        for name, values in (("width", readable["width"]), ("height", readable["height"]))
        if len(values)
    ]
    found = [f"{count} {kind}" for kind, count in kinds(looks).items()]
    broken = looks[looks["trouble"] != ""]
    troubles = [
        f"{path} ({why})" for path, why in zip(broken["path"], broken["trouble"], strict=True)
    ]
    most, least = max(seen.by_class.values()), min(seen.by_class.values())
    repeats = find_repeats(readable)
    return [
        ("images", f"{len(looks)} of {len(seen.by_class)} classes; {least} to {most} of a class"),
        ("pixels", f"{', '.join(sizes) or 'none'} (least / median / most)"),
        ("kinds", ", ".join(found) or "colour alone"),
        ("broken", f"{len(broken)}" + (f": {name_some(troubles, NAMED)}" if len(broken) else "")),
        (
            "equal files",
            f"{len(repeats.across_splits)} across splits, {len(repeats.across_classes)} across "
            f"classes, {len(repeats.within_class)} within a class",
        ),
    ]


def show_choices(console: Console, choices: Sequence[Choice], params: Params) -> None:
    """Each value with what it was and why."""
    table = plain_table()
    table.add_column("params.yaml", no_wrap=True)
    table.add_column("Value", overflow="fold", max_width=22)
    table.add_column("Why")
    values = params.model_dump(mode="json")
    for choice in choices:
        section, _, name = choice.name.partition(".")
        before, value = values[section][name], json.dumps(choice.value)
        value = value if before == choice.value else f"{json.dumps(before)} -> {value}"
        table.add_row(choice.name, escape(value), escape(choice.why))
    stays = "stays; `cot rank-sources` compares others"
    table.add_row("source_model.name", escape(json.dumps(params.source_model.name)), stays)
    console.print(table)
