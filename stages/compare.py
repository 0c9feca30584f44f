"""Compare two runs: params that differ, metrics, and the images that both were judged on."""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.report.markdown import points
from pipeline.report.paired import paired_difference
from pipeline.report.text_answer import p_value
from pipeline.tracking.comparison import (
    differing_params,
    find_run,
    metrics_of_both,
    predictions_of,
)
from pipeline.tracking.store import connect

IMAGES = "input.data/prepare-data/images.npy"


def run(params: Params, first: str, second: str) -> None:
    client, experiment = connect(project_root())
    runs = [find_run(client, experiment, named) for named in (first, second)]
    console = Console()
    show(console, "Params that differ", differing_params(*runs), runs)
    show(console, "Metrics", metrics_of_both(*runs), runs)
    console.print(same_images(client, runs, params), markup=False, soft_wrap=True)


def same_images(client: MlflowClient, runs: list[Run], params: Params) -> str:
    """What the images say that both were judged on, in a sentence."""
    if len({run.data.tags.get(IMAGES) for run in runs}) > 1:
        return "No paired test: they were judged on other images."
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        tables = [
            predictions_of(client, run, Path(folder))
            for run, folder in zip(runs, (one, other), strict=True)
        ]
    first, second = tables
    if first is None or second is None:
        return "No paired test: only runs of evaluate have predictions."
    try:
        found = paired_difference(
            [first], [second], params.report.bootstrap_resamples, params.sample_seed
        )
    except ValueError:
        return "No paired test: they were judged on other images."
    word = "beyond the noise" if found.exceeds_noise else "within the noise"
    return (
        f"On the same {found.images:,} images the second is {points(found.difference)} points of "
        f"accuracy to the first (95% interval {points(found.low)} to {points(found.high)}, "
        f"McNemar {p_value(found)}): {word}."
    )


def show(console: Console, title: str, rows: pd.DataFrame, runs: list[Run]) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("")
    for one in runs:
        table.add_column(f"{one.info.run_name} {one.info.run_id[:8]}", overflow="fold")
    for row in rows.itertuples():
        table.add_row(str(row.name), written(row.first), written(row.second))
    console.print(table if len(rows) else f"{title}: none", markup=False)


def written(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
