"""Rows of what a model said of a user's files, as tables for other programs."""

import heapq
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from rich.console import Console

from pipeline.common.files import write_text
from pipeline.common.tables import plain_table
from pipeline.datasets.listing import name_some

Form = Literal["table", "csv", "json"]
Row = Mapping[str, Any]
# What a row has in each, by its title; numbers in that of the probability.
Columns = Mapping[str, Callable[[Row], str]]
SHOWN = 20  # rows of a table in the terminal


def ranked(
    names: Sequence[str], probabilities: Sequence[float], top: int
) -> tuple[dict[str, Any], ...]:
    """The most probable names first, each as its class and its probability."""
    pairs = heapq.nlargest(top, zip(names, probabilities, strict=True), key=lambda pair: pair[1])
    return tuple({"class": name, "probability": value} for name, value in pairs)


def tell_rows(
    rows: Sequence[Row], columns: Columns, summary: str, form: Form, output: Path | None
) -> None:
    """Show rows as a table, or write them as JSON lines or CSV, into a file or to the terminal.

    A table goes to the terminal alone; into a file it is CSV.

    Args:
        rows: values by name, and `top` of ranked(), of which CSV has a column each from the second.
        columns: of the table.
        summary: a sentence below the table, without its full stop.
    """
    if form == "table" and output is None:
        _show(rows, columns, summary)
    else:
        _write(rows, output, form)


def _write(rows: Sequence[Row], output: Path | None, form: Form) -> None:
    if form == "json":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = pd.DataFrame(map(_flat, rows)).to_csv(index=False)
    if output is None:
        sys.stdout.write(text)
        return
    write_text(output, text)


def _show(rows: Sequence[Row], columns: Columns, summary: str) -> None:
    table = plain_table()
    for title in columns:
        is_number = title == "Probability"
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for row in rows[:SHOWN]:
        table.add_row(*(cell(row) for cell in columns.values()))
    console = Console()
    console.print(table, markup=False)
    rest = f"; {len(rows) - SHOWN:,} more, all of them by --format csv" if len(rows) > SHOWN else ""
    console.print(f"{summary}{rest}.", markup=False, highlight=False)


def probability(row: Row) -> str:
    return f"{row['probability']:.1%}"


def others(row: Row) -> str:
    """What a row has after its most probable class, in words."""
    return ", ".join(f"{one['class']} {one['probability']:.1%}" for one in row["top"][1:])


def tell_unreadable(unreadable: Mapping[Path, str], files: int, what: str) -> None:
    """Say on standard error which of so many files could not be read, if any."""
    if unreadable:
        message = f"{len(unreadable)} of {files} {what} cannot be read: {named(unreadable)}"
        Console(stderr=True).print(message, markup=False, highlight=False, soft_wrap=True)


def named(unreadable: Mapping[Path, str]) -> str:
    return name_some([f"{path} ({reason})" for path, reason in unreadable.items()])


def _flat(row: Row) -> dict[str, Any]:
    flat = {name: value for name, value in row.items() if name != "top"}
    for place, one in enumerate(row["top"][1:], 2):
        flat |= {f"class_{place}": one["class"], f"probability_{place}": one["probability"]}
    return flat
