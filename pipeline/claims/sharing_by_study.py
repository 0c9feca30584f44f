"""Finished cells as trials of an Optuna study, which the processes of many machines share."""

import math
from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline.claims.cell import Cell, Result
from pipeline.claims.sharing_by_files import CellFiles
from pipeline.common.formats import write_json
from pipeline.search.shared_trials import SharedTrials
from pipeline.search.storage import open_study

CELL, RESULT = "cell", "result"  # what a trial says of its cell


class CellStudy:
    """A cell is finished when a trial has its result, which is then the one of all machines.

    A file that this machine already has counts as its result unless another machine was faster.

    Args:
        shared: the trials.
        files: of this machine; each result ends there too.
    """

    def __init__(self, shared: SharedTrials, files: CellFiles) -> None:
        self.shared = shared
        self.files = files

    def missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those that no machine has finished."""
        finished = self._finished()
        return [cell for cell in cells if cell.name not in finished and not self._offer_file(cell)]

    def run_if_free(self, cell: Cell, compute: Callable[[Cell], Result]) -> bool:
        """Run a cell unless another process has it; whether this one ran it."""

        def is_free(before: Sequence[FrozenTrial]) -> bool:
            return cell.name not in [trial.user_attrs[CELL] for trial in before]

        def run(trial: Trial) -> float:
            result = compute(cell)
            # First here, so that hours of work outlive a storage that cannot be reached now.
            write_json(self.files.file(cell), result)
            trial.set_user_attr(RESULT, result)
            return result.get("validation_nll", math.inf)

        trial = self.shared.claim(is_free, {CELL: cell.name})
        if trial is None:
            return False
        self.shared.run(trial, run)
        return True

    def results(self, cells: Sequence[Cell]) -> list[Result]:
        """One a cell, in their order; all are finished. They replace this machine's files."""
        finished = self._finished()
        results = [finished[cell.name] for cell in cells]
        for cell, result in zip(cells, results, strict=True):
            file = self.files.file(cell)
            if not file.exists() or self.files.read(cell) != result:
                write_json(file, result)
        return results

    def _offer_file(self, cell: Cell) -> bool:
        """Give the study what this machine has of a cell; whether that was anything."""
        file = self.files.file(cell)
        return file.exists() and self.run_if_free(cell, self.files.read)

    def _finished(self) -> dict[str, Result]:
        trials = self.shared.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return {trial.user_attrs[CELL]: trial.user_attrs[RESULT] for trial in trials}


def open_cell_study(storage: str, name: str, files: CellFiles) -> CellStudy:
    """Open the study of that name, or create it.

    Raises:
        UserError: the storage cannot be opened.
    """
    return CellStudy(SharedTrials(open_study(storage, name)), files)
