"""Cells of the claims table that take seconds: six, and the artifacts that they draw from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from threading import Event

import numpy as np
import pandas as pd
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from sharing import PATIENCE

from pipeline import params
from pipeline.artifacts import SplitLogits, Store
from pipeline.claims.cell import Cell, Result, run_cell
from pipeline.claims.pool import Pool, load_pool
from pipeline.claims.run_cells import run_cells
from pipeline.params.claims_sections import CellSettings
from pipeline.training.compute import Compute
from stages.fine_tune_cells import all_cells

PARAMS = """
compute: {device: cpu, precision: float32}
source_model: {input_size: 32}
prepare_data: {stored_size: 36, val_fraction: 0.25}
fine_tune: {batch_size: 8}
fine_tune_cells:
  rates: [{images_per_class: 8, steps: 4}]
  seeds: [1, 0]
  methods: [vanilla, co-tuning, bss]
"""
SETTINGS = {name: CellSettings(method=name) for name in ("vanilla", "co-tuning", "bss")}


def write_artifacts(root: Path) -> None:
    """Two classes, ten images of each and six for testing, with the logits of the first ten."""
    (root / "params.yaml").write_text(PARAMS)
    splits = ["train"] * 16 + ["validation"] * 4 + ["test"] * 12
    labels = np.arange(len(splits)) % 2
    paths = [f"{row}.png" for row in range(len(splits))]
    manifest = {"row": range(len(splits)), "split": splits, "label": labels, "path": paths}
    store, rng = Store(root), np.random.default_rng(0)
    store.save_manifest(pd.DataFrame(manifest), ["dark", "bright"], [])
    images = rng.integers(0, 128, (len(splits), 36, 36, 3), dtype=np.uint8)
    np.save(
        store.folder("prepare-data") / "images.npy",
        images + 90 * labels[:, None, None, None].astype(np.uint8),
    )
    rows = torch.arange(20)
    logits = torch.randn(20, 1000, generator=torch.Generator().manual_seed(0))
    parts = {"train": rows[:16], "validation": rows[16:]}
    tensors = {
        name: SplitLogits(logits[part], torch.from_numpy(labels)[part], part)
        for name, part in parts.items()
    }
    store.save_logits(tensors, tuple(map(str, range(1000))))


def values(root: Path) -> params.Params:
    return params.load(root / "params.yaml")


def cells(root: Path) -> list[Cell]:
    return all_cells(values(root).fine_tune_cells, SETTINGS)


@dataclass(frozen=True)
class Held:
    """Runs cells, but at those that have an event says which process it is, and waits for it.

    Its run is open then, and it holds nothing but its cell.
    """

    said: "Queue[tuple[str, int]]"
    events: Mapping[str, Event]

    def __call__(self, cell: Cell, pool: Pool, given: params.Params, compute: Compute) -> Result:
        if event := self.events.get(cell.name):
            self.said.put((cell.name, os.getpid()))
            event.wait(PATIENCE)
        return run_cell(cell, pool, given, compute)


def call(line: Connection, root: Path, held: Held) -> None:
    run_cells(Store(root), values(root), cells(root), "fine-tune-cells", 1, run=held)


def results_of_one_process(root: Path) -> list[Result]:
    """Those of all cells, run one after the other in this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = load_pool(Store(root), values(root))
    compute = Compute(torch.device("cpu"), torch.float32)
    results = [run_cell(cell, pool, values(root), compute) for cell in cells(root)]
    torch.set_num_threads(threads)
    return results


def cell_runs(root: Path, status: str) -> list[Run]:
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, f"attributes.status = '{status}'")
    return [run for run in runs if "group 3" in run.data.tags]


def names(runs: list[Run]) -> list[tuple[str, str]]:
    return sorted((run.data.tags["group 3"], run.info.run_name) for run in runs)


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="training_seconds")
