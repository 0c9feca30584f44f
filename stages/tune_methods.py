"""Choose each method's settings on validation images, with equally many candidates for all."""

from collections.abc import Mapping, Sequence

import pandas as pd

from pipeline.artifacts import Store
from pipeline.claims.cell import Cell
from pipeline.claims.pool import pool_files
from pipeline.claims.run_cells import run_cells
from pipeline.common.errors import UserError
from pipeline.common.formats import write_csv, write_json
from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.params.claims_sections import CellSettings, TuneMethods
from pipeline.tracking.runs import stage_run


def run(params: Params, workers: int, storage: str | None = None) -> None:
    store = Store(project_root())
    section = params.tune_methods
    folder = store.folder("tune-methods")
    candidates = {method: section.combinations(method) for method in params.fine_tune_cells.methods}
    cells = candidate_cells(section, candidates)
    with stage_run(
        store.root, "tune-methods", section.model_dump(), pool_files(store), folder
    ) as run:
        trials = run_cells(store, params, cells, "tune-methods", workers, storage)
        trials = trials.assign(settings=[cell.settings.model_dump_json() for cell in cells])
        write_csv(folder / "trials.csv", trials)
        chosen = {
            method: choose(trials[trials["row"] == method]) if len(given) > 1 else given[0]
            for method, given in candidates.items()
        }
        write_json(
            folder / "settings.json",
            {method: settings.model_dump() for method, settings in chosen.items()},
        )
        run.log_metrics({"cells": len(cells)})


def candidate_cells(
    section: TuneMethods, candidates: Mapping[str, Sequence[CellSettings]]
) -> list[Cell]:
    """A cell a candidate and seed, of the methods that have a choice."""
    return [
        Cell(method, section.rate, seed, settings, tested=False)
        for seed in section.seeds
        for method, given in candidates.items()
        if len(given) > 1
        for settings in given
    ]


def choose(trials: pd.DataFrame) -> CellSettings:
    """The settings with the lowest validation NLL, averaged over seeds; ties to the first.

    A candidate that diverged with any seed is out.

    Args:
        trials: of one method; columns row, settings (JSON), diverged, validation_nll.

    Raises:
        UserError: every candidate diverged.
    """
    # Without a single finished training no cell has brought the column.
    trials = trials.reindex(columns=["row", "settings", "diverged", "validation_nll"])
    candidates = trials.groupby("settings", sort=False)
    usable = candidates["validation_nll"].mean()[~candidates["diverged"].any()]
    if usable.empty:
        raise UserError(
            f"every candidate of {trials['row'].iloc[0]} diverged; lower the learning rates in "
            "tune_methods.candidates"
        )
    return CellSettings.model_validate_json(str(usable.idxmin()))
