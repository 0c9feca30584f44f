"""Finished cells as files, one a cell, which the processes of one machine share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.artifacts import read_checked
from pipeline.claims.cell import Cell, Result
from pipeline.common.damage import reading_work
from pipeline.common.formats import write_json


@dataclass(frozen=True)
class CellFiles:
    """A cell is finished when its file is there; processes take turns by locks.

    A process that is killed loses the cell that it was running.
    """

    folder: Path

    def file(self, cell: Cell) -> Path:
        return self.folder / f"{cell.name}.json"

    def missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those that are not finished."""
        return [cell for cell in cells if not self.file(cell).exists()]

    def run_if_free(self, cell: Cell, compute: Callable[[Cell], Result]) -> bool:
        """Run a cell unless another process is at it; whether it is finished."""
        file = self.file(cell)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(file.with_suffix(".lock"), timeout=0):
                if not file.exists():
                    write_json(file, compute(cell))
        except Timeout:
            return False
        return True

    def results(self, cells: Sequence[Cell]) -> list[Result]:
        """One a cell, in their order; all are finished."""
        return [self.read(cell) for cell in cells]

    def read(self, cell: Cell) -> Result:
        """What this machine has of a finished cell."""
        file = self.file(cell)
        with reading_work(file):
            result: Result = read_checked(file, Result)
            return result
