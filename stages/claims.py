"""Make the claims table of the finished cells: table, summary, pictures."""

import pandas as pd

from pipeline.artifacts import Store
from pipeline.artifacts.tables import CELLS, STEP_TIMES
from pipeline.claims.figures import accuracy_by_rate, variant_differences
from pipeline.claims.run_cells import cell_folder
from pipeline.claims.sweep import by_input_size, recovery, sweep_gains
from pipeline.claims.sweep_figures import (
    gain_by_setting,
    recovery_by_images,
    seen_by_input_size,
)
from pipeline.claims.table import render, summarise
from pipeline.common.files import write_text
from pipeline.common.formats import write_csv
from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.params.methods import BASELINE
from pipeline.report.figures import save_figure
from pipeline.tracking.groups import group_run
from pipeline.tracking.runs import stage_run


def run(params: Params) -> None:
    store = Store(project_root())
    folder = store.folder("claims")
    inputs = [
        store.require("tune-methods", "settings.json"),
        store.require("fine-tune-cells", "cells.csv"),
        store.require("time-steps", "step_times.csv"),
    ]
    with stage_run(store.root, "claims", {}, inputs, folder) as run:
        settings = {name: value.model_dump() for name, value in store.load_settings().items()}
        cells = store.load_table(CELLS, "fine-tune-cells", "cells.csv")
        steps = store.load_table(STEP_TIMES, "time-steps", "step_times.csv")
        swept = cells["swept"].notna()
        if swept.any() and (cells["taught_by"] == BASELINE).any():
            gains = sweep_gains(cells)
            write_csv(folder / "gain.csv", gains)
            save_figure(gain_by_setting(gains), folder / "gain.png")
        if (cells["swept"] == "input_size").any():
            seen = by_input_size(cells)
            write_csv(folder / "input_size.csv", seen)
            save_figure(seen_by_input_size(seen), folder / "input_size.png")
        if "recovered_mass" in cells:
            recovered = recovery(cells)
            write_csv(folder / "recovery.csv", recovered)
            save_figure(recovery_by_images(recovered), folder / "recovery.png")
        summary = summarise(cells[~swept])
        step_ms = steps.set_index("method")["step_ms"]
        write_csv(folder / "table.csv", cells.assign(step_ms=cells["row"].map(step_ms)))
        write_csv(folder / "summary.csv", summary)
        save_figure(accuracy_by_rate(summary, list(settings)), folder / "accuracy.png")
        variants = summary[~summary["row"].isin(list(settings))]
        if len(variants):
            save_figure(variant_differences(summary, list(settings)), folder / "variants.png")
        text = render(summary, steps, settings, params.tune_methods)
        write_text(folder / "claims.md", text)
        log_groups(store, params, summary)
        run.log_metrics({"cells": len(cells)})


def log_groups(store: Store, params: Params, summary: pd.DataFrame) -> None:
    """Put means and differences onto the runs that stand for the rows of the table."""
    grid = cell_folder(store, params).name
    for record in summary.to_dict("records"):
        groups = ("fine-tune-cells", f"{record['images_per_class']} images a class", record["row"])
        numbers = {
            str(name): float(value)
            for name, value in record.items()
            if isinstance(value, float) and pd.notna(value)
        }
        group_run(store.root, grid, groups).log_metrics(numbers)
