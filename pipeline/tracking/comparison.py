"""Two runs side by side: what they were given, what they measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.common.errors import UserError, one_line

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


def predictions_of(client: MlflowClient, run: Run, folder: Path) -> pd.DataFrame | None:
    """The predictions that an evaluate run logged; None of another run.

    Args:
        folder: an empty one, for the file.
    """
    if PREDICTIONS not in {found.path for found in client.list_artifacts(run.info.run_id)}:
        return None
    path = client.download_artifacts(run.info.run_id, PREDICTIONS, str(folder))
    try:
        return pd.read_csv(path)
    except ValueError as error:
        raise UserError(
            f"{PREDICTIONS} of run {run.info.run_id} is damaged: {one_line(error)}; compare a run "
            "that evaluate made anew"
        ) from None


def _side_by_side(
    first: dict[str, Any], second: dict[str, Any], wanted: Callable[[Any, Any], bool]
) -> pd.DataFrame:
    names = sorted(first.keys() | second.keys())
    rows = [(name, first.get(name), second.get(name)) for name in names]
    kept = [row for row in rows if wanted(row[1], row[2])]
    return pd.DataFrame(kept, columns=["name", "first", "second"])
