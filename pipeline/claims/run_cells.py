"""Many cells of the claims table, worked off by any number of processes."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from pipeline.artifacts import Store
from pipeline.claims.cell import Cell, Result, run_cell
from pipeline.claims.pool import Pool, at_input_size, load_pool, pool_files
from pipeline.claims.sharing_by_files import CellFiles
from pipeline.claims.sharing_by_study import CellStudy, open_cell_study
from pipeline.common.processes import run_in_processes
from pipeline.common.resume import resume_key
from pipeline.params import Params
from pipeline.params.sections import Training
from pipeline.search.shared_trials import SECONDS_BETWEEN_LOOKS
from pipeline.search.storage import losses_explained
from pipeline.tracking.groups import grouped_run
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.methods import TRAINING_CODE

CELL_CODE = (
    *TRAINING_CODE,
    *("claims/cell.py", "claims/controls.py", "claims/pool.py", "claims/recovery.py"),
    "claims/source_labels.py",
    *("datasets/splits.py", "report/metrics.py"),
)

Run = Callable[[Cell, Pool, Params, Compute], Result]

log = logging.getLogger(__name__)


def cell_folder(store: Store, params: Params) -> Path:
    """Where finished cells lie; another folder for other data, another protocol or other code."""
    of_a_cell = {"epochs", "iterations", "iterations_per_epoch", "learning_rate"}
    steering = params.model_dump(
        mode="json",
        include={
            **dict.fromkeys(("compute", "source_model", "calibrate"), True),
            "fine_tune": set(Training.model_fields) - of_a_cell,
        },
    )
    steering |= {
        "val_fraction": params.prepare_data.val_fraction,
        "batch_size": params.evaluate.batch_size,
        "crops": params.evaluate.crops,
    }
    key = resume_key(steering, pool_files(store), CELL_CODE)
    return store.work_folder("cells") / key


def run_cells(
    store: Store,
    params: Params,
    cells: Sequence[Cell],
    stage: str,
    workers: int,
    storage: str | None = None,
    run: Run = run_cell,
) -> pd.DataFrame:
    """Run what is not finished yet; a row a cell, in the order of the cells.

    Processes take turns, those of another call on the same folder or in the same storage too;
    one that is killed loses the cell that it was running.

    Args:
        stage: whose cells they are, for messages and for the groups of runs.
        workers: processes. On a CPU each computes with one thread, so that neither their number
            nor another call changes a bit of the result.
        storage: where machines share the cells, as `pipeline.search.storage.open_storage` takes it.
        run: what is done with a cell; the processes import it.

    Raises:
        UserError: the storage cannot be opened, or a process failed.
    """
    folder = cell_folder(store, params)
    shelf = _open_shelf(folder, stage, storage)
    with losses_explained(f"cot stage {stage}"):
        missing = shelf.missing(cells)
        log.info("%s: %d of %d cells are finished", stage, len(cells) - len(missing), len(cells))
        if missing:
            workers = min(workers, len(missing))
            arguments = (store.root, params, missing, stage, folder, storage, run)
            run_in_processes(_work, [arguments] * workers, f"cot stage {stage}")
        return pd.DataFrame(shelf.results(cells))


def _open_shelf(folder: Path, stage: str, storage: str | None) -> CellFiles | CellStudy:
    files = CellFiles(folder)
    if not storage:
        return files
    return open_cell_study(storage, f"{stage}-{folder.name}", files)


@dataclass(frozen=True)
class Worker:
    """Runs cells, with what one process loads once for all of them.

    Attributes:
        others: the pool at each input size that cells had but source_model has not.
    """

    root: Path
    params: Params
    stage: str
    folder: Path
    pool: Pool
    compute: Compute
    run: Run
    others: dict[int, Pool] = field(default_factory=dict)

    def __call__(self, cell: Cell) -> Result:
        begin = time.perf_counter()
        result = self._run_tracked(cell)
        log.info("%s: %s, %.0f s", self.stage, cell.name, time.perf_counter() - begin)
        return result

    def _run_tracked(self, cell: Cell) -> Result:
        groups = (self.stage, f"{cell.rate.images_per_class} images a class", cell.row)
        logged = cell.settings.model_dump() | {"steps": cell.steps, "seed": cell.seed}
        with grouped_run(self.root, self.folder.name, groups, f"seed {cell.seed}", logged) as run:
            result = self.run(cell, self._at(cell.settings.input_size), self.params, self.compute)
            numbers = {
                name: value
                for name, value in result.items()
                if isinstance(value, float) and name not in cell.columns
            }
            run.log_metrics(numbers)
        return result

    def _at(self, input_size: int | None) -> Pool:
        if input_size in (None, self.pool.source.input_size):
            return self.pool
        if input_size not in self.others:
            batch_size = self.params.extract_logits.batch_size
            self.others[input_size] = at_input_size(self.pool, input_size, batch_size, self.compute)
        return self.others[input_size]


def _work(
    root: Path,
    params: Params,
    cells: Sequence[Cell],
    stage: str,
    folder: Path,
    storage: str | None,
    run: Run,
) -> None:
    torch.set_num_threads(1)
    compute = resolve_compute(
        params.compute.device, params.compute.precision, params.compute.compile
    )
    worker = Worker(root, params, stage, folder, load_pool(Store(root), params), compute, run)
    shelf = _open_shelf(folder, stage, storage)
    with losses_explained(f"cot stage {stage}"):
        while missing := shelf.missing(cells):
            ran = [shelf.run_if_free(cell, worker) for cell in missing]
            if not any(ran):
                time.sleep(SECONDS_BETWEEN_LOOKS)
