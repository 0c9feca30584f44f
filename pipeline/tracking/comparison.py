"""Two runs side by side: what they were given, what they measured."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.common.errors import UserError, one_line
from pipeline.tracking.store import connect

LEAST_LETTERS = 4  # of the beginning of a run's id
PREDICTIONS = "predictions.csv"


def find_run(client: MlflowClient, experiment: str, named: str) -> Run:
    """A run by its id, the beginning of it, or its name: the latest one of that name.

    Raises:
        UserError: there is none, or several ids begin so.
    """
    runs = client.search_runs([experiment], max_results=50_000)
    begun = [run for run in runs if run.info.run_id.startswith(named)]
    if len(named) >= LEAST_LETTERS and len(begun) == 1:
        return begun[0]
    if called := [run for run in runs if run.info.run_name == named]:
        return max(called, key=lambda run: run.info.start_time)
    if len(named) >= LEAST_LETTERS and begun:
        raise UserError(f"{len(begun)} runs have ids that begin with {named}; give more of it")
    names = sorted({run.info.run_name for run in runs})
    raise UserError(f"there is no run {named}; runs are called {', '.join(names[:20])}")


def differing_params(first: Run, second: Run) -> pd.DataFrame:
    """A row a param that only one has or that differs: name, first, second; empty for none."""
    return _side_by_side(first.data.params, second.data.params, lambda a, b: a != b)


def metrics_of_both(first: Run, second: Run) -> pd.DataFrame:
    """A row a metric that one of them has: name, first, second; the last value of each."""
    return _side_by_side(first.data.metrics, second.data.metrics, lambda a, b: True)


def show_runs(root: Path, named: Sequence[str], console: Console) -> tuple[MlflowClient, list[Run]]:
    """Print the params of two runs that differ and the metrics of both, side by side.

    Args:
        root: the project's folder.
        named: the runs, as find_run takes them.

    Returns:
        The runs, and who can be asked for what they logged.

    Raises:
        UserError: the store cannot be reached, or has no such run.
    """
    client, experiment = connect(root)
    runs = [find_run(client, experiment, name) for name in named]
    heads = [f"{one.info.run_name} {one.info.run_id[:8]}" for one in runs]
    for title, rows in (
        ("Params that differ", differing_params(*runs)),
        ("Metrics", metrics_of_both(*runs)),
    ):
        table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
        table.add_column("")
        for head in heads:
            table.add_column(head, overflow="fold")
        for row in rows.itertuples():
            table.add_row(str(row.name), _written(row.first), _written(row.second))
        console.print(table if len(rows) else f"{title}: none", markup=False)
    return client, runs


def predictions_of(client: MlflowClient, run: Run) -> pd.DataFrame | None:
    """The predictions that an evaluate run logged; None of another run.

    Raises:
        UserError: they are damaged.
    """
    if PREDICTIONS not in {found.path for found in client.list_artifacts(run.info.run_id)}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(run.info.run_id, PREDICTIONS, folder)
        try:
            return pd.read_csv(path)
        except ValueError as error:
            raise UserError(
                f"{PREDICTIONS} of run {run.info.run_id} is damaged: {one_line(error)}; compare a "
                "run that evaluate made anew"
            ) from None


def _written(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _side_by_side(
    first: dict[str, Any], second: dict[str, Any], wanted: Callable[[Any, Any], bool]
) -> pd.DataFrame:
    names = sorted(first.keys() | second.keys())
    rows = [(name, first.get(name), second.get(name)) for name in names]
    kept = [row for row in rows if wanted(row[1], row[2])]
    return pd.DataFrame(kept, columns=["name", "first", "second"])
