"""Train and judge every cell of the claims table: each rate, seed, method and variant."""

from pipeline.artifacts import Store, read_json, write_csv
from pipeline.claims.cell import Cell
from pipeline.claims.pool import pool_files
from pipeline.claims.run_cells import run_cells
from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.params.claims_sections import CellSettings, FineTuneCells
from pipeline.params.methods import CO_TUNING
from pipeline.tracking.runs import stage_run


def run(params: Params, workers: int, storage: str | None = None) -> None:
    store = Store(project_root())
    section = params.fine_tune_cells
    chosen = store.require("tune-methods", "settings.json")
    settings = {
        method: CellSettings.model_validate(values) for method, values in read_json(chosen).items()
    }
    folder = store.folder("fine-tune-cells")
    inputs = [*pool_files(store), chosen]
    with stage_run(store.root, "fine-tune-cells", section.model_dump(), inputs, folder) as run:
        cells = all_cells(section, settings)
        table = run_cells(store, params, cells, "fine-tune-cells", workers, storage)
        write_csv(folder / "cells.csv", table)
        run.log_metrics({"cells": len(cells)})


def all_cells(section: FineTuneCells, settings: dict[str, CellSettings]) -> list[Cell]:
    """Seed by seed, so that an early end leaves fewer seeds of all rows, not fewer rows."""
    variants = {
        name: settings[CO_TUNING].changed(values) for name, values in section.variants.items()
    }
    return [
        Cell(row, rate, seed, given, tested=True)
        for seed in section.seeds
        for rate in section.rates
        for row, given in {
            **{method: settings[method] for method in section.methods},
            **{name: variants[name] for name in rate.variants},
        }.items()
    ]
