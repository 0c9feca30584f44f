"""Many cells of the claims table, worked off by any number of processes, one file a cell."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock, Timeout

from pipeline.artifacts import Store, read_json, write_json
from pipeline.backbones import load_source_model
from pipeline.cells import Cell, Pool, Result, rows_to_logits, run_cell
from pipeline.compute import Compute, resolve_compute
from pipeline.params import Params
from pipeline.processes import run_in_processes
from pipeline.resume import resume_key
from pipeline.tracking_groups import grouped_run

# What a cell's numbers come from. A change elsewhere (reports, plots, tracking) leaves hours of
# finished cells alone.
NUMERIC_MODULES = (
    *("cotuning/*.py", "datasets/loaders.py", "datasets/splits.py", "assembly.py"),
    *("backbones.py", "cells.py", "compute.py", "inference.py", "metrics.py"),
    *("schedule.py", "source_predictions.py", "training.py"),
)
SECONDS_BETWEEN_LOOKS = 2.0

log = logging.getLogger(__name__)


def cell_folder(store: Store, params: Params) -> Path:
    """Where finished cells lie; another folder for other data, another protocol or other code."""
    steering = params.model_dump(
        mode="json", include={"compute", "source_model", "calibrate", "fine_tune"}
    )
    length = ("epochs", "iterations", "iterations_per_epoch")
    for name in (*length, "learning_rate", "methods", "peers"):
        del steering["fine_tune"][name]
    steering |= {
        "val_fraction": params.prepare_data.val_fraction,
        "batch_size": params.evaluate.batch_size,
        "crops": params.evaluate.crops,
    }
    key = resume_key(steering, pool_files(store), NUMERIC_MODULES)
    return store.work_folder("cells") / key


def pool_files(store: Store) -> list[Path]:
    """The artifacts that cells draw from."""
    return [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "images.npy"),
        store.require("extract-logits", "logits.safetensors"),
    ]


def load_pool(store: Store, params: Params) -> Pool:
    prepared = store.load_prepared()
    logits = rows_to_logits(store.load_logits(), len(prepared.images))
    return Pool(prepared, logits, load_source_model(**params.source_model.model_dump()))


def run_cells(
    store: Store, params: Params, cells: Sequence[Cell], stage: str, workers: int
) -> pd.DataFrame:
    """Run what is not finished yet; a row a cell, in the order of the cells.

    A cell is finished when its file is there. Processes, those of another call on the same
    folder too, take turns by locks; one that is killed loses the cell that it was running.

    Args:
        stage: whose cells they are, for messages and for the groups of runs.
        workers: processes. On a CPU each computes with one thread, so that neither their number
            nor another call changes a bit of the result.
    """
    folder = cell_folder(store, params)
    missing = [cell for cell in cells if not _file(folder, cell).exists()]
    log.info("%s: %d of %d cells are finished", stage, len(cells) - len(missing), len(cells))
    if missing:
        workers = min(workers, len(missing))
        arguments = (store.root, params, missing, stage, folder)
        run_in_processes(_work, [arguments] * workers, f"cot stage {stage}")
    return pd.DataFrame([read_json(_file(folder, cell)) for cell in cells])


@dataclass(frozen=True)
class Worker:
    """What one process needs to run cells."""

    root: Path
    params: Params
    stage: str
    folder: Path
    pool: Pool
    compute: Compute

    def run_if_free(self, cell: Cell) -> bool:
        """Run a cell unless another process is at it; whether it is finished."""
        file = _file(self.folder, cell)
        try:
            with FileLock(file.with_suffix(".lock"), timeout=0):
                if file.exists():
                    return True
                begin = time.perf_counter()
                write_json(file, self._run_tracked(cell))
                log.info("%s: %s, %.0f s", self.stage, file.stem, time.perf_counter() - begin)
        except Timeout:
            return False
        return True

    def _run_tracked(self, cell: Cell) -> Result:
        groups = (self.stage, f"{cell.rate.images_per_class} images a class", cell.row)
        logged = cell.settings.model_dump() | {"steps": cell.rate.steps, "seed": cell.seed}
        with grouped_run(self.root, self.folder.name, groups, f"seed {cell.seed}", logged) as run:
            result = run_cell(cell, self.pool, self.params, self.compute)
            numbers = {
                name: value
                for name, value in result.items()
                if isinstance(value, float) and name not in cell.columns
            }
            run.log_metrics(numbers)
        return result


def _work(root: Path, params: Params, cells: Sequence[Cell], stage: str, folder: Path) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("pipeline").setLevel(logging.INFO)
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    compute = resolve_compute(params.compute.device, params.compute.precision)
    worker = Worker(root, params, stage, folder, load_pool(Store(root), params), compute)
    while missing := [cell for cell in cells if not _file(folder, cell).exists()]:
        ran = [worker.run_if_free(cell) for cell in missing]
        if not any(ran):
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _file(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.name}.json"
