"""Train and judge every cell of the claims table: each rate, seed, method and variant."""

import itertools
from collections.abc import Iterator, Mapping

from pipeline.artifacts import Store
from pipeline.claims.cell import Cell
from pipeline.claims.pool import pool_files
from pipeline.claims.run_cells import run_cells
from pipeline.common.formats import write_csv
from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.params.claims_sections import CellSettings, FineTuneCells
from pipeline.params.methods import CO_TUNING, teaches_source_head
from pipeline.tracking.runs import stage_run


def run(params: Params, workers: int, storage: str | None = None) -> None:
    store = Store(project_root())
    section = params.fine_tune_cells
    chosen = store.require("tune-methods", "settings.json")
    settings = store.load_settings()
    folder = store.folder("fine-tune-cells")
    inputs = [*pool_files(store), chosen]
    with stage_run(store.root, "fine-tune-cells", section.model_dump(), inputs, folder) as run:
        cells = all_cells(section, settings)
        table = run_cells(store, params, cells, "fine-tune-cells", workers, storage)
        write_csv(folder / "cells.csv", table)
        run.log_metrics({"cells": len(cells)})


def all_cells(section: FineTuneCells, settings: dict[str, CellSettings]) -> list[Cell]:
    """Seed by seed, so that an early end leaves fewer seeds of all rows, not fewer rows.

    What is swept follows the table's cells of each seed.
    """
    variants = {
        name: settings[CO_TUNING].changed(values) for name, values in section.variants.items()
    }
    rows = [
        {
            **{method: settings[method] for method in section.methods},
            **{name: variants[name] for name in rate.variants},
        }
        for rate in section.rates
    ]
    cells: list[Cell] = []
    for seed in section.seeds:
        for rate, at_rate in zip(section.rates, rows, strict=True):
            cells += [Cell(row, rate, seed, given, tested=True) for row, given in at_rate.items()]
        cells += swept_cells(section, rows[0], seed)
    return cells


def swept_cells(
    section: FineTuneCells, rows: Mapping[str, CellSettings], seed: int
) -> Iterator[Cell]:
    """The rows of the first rate with one setting changed, where it changes what is trained."""
    rate = section.rates[0]
    for setting, values in section.sweep.items():
        for value, (row, given) in itertools.product(values, rows.items()):
            concerned = setting != "source_weight" or teaches_source_head(given.method)
            in_table = Cell(row, rate, seed, given, tested=True)
            if concerned and in_table.columns.get(setting) != value:
                whole = setting in ("steps", "input_size")
                changed = given.changed({setting: int(value) if whole else value})
                name = f"{row} {setting} {value:g}"
                yield Cell(name, rate, seed, changed, tested=True, swept=setting)
