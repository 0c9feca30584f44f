"""The file of stored images in the making: kept by a kill, gone on with, checked, then moved."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import AcquireReturnProxy, FileLock, Timeout

from pipeline.common.errors import UserError
from pipeline.common.files import write_aside
from pipeline.datasets.store.disk_space import check_room, taken_room
from pipeline.datasets.store.square_file import SquareFile

FLUSH_SECONDS = 1.0
CHECKED_ROWS = 256
RECORD = np.dtype(
    [("checksum", "<u4"), ("bytes", "<i8"), ("modified", "<i8"), ("finished", "?")],
)

log = logging.getLogger(__name__)


class FileState(NamedTuple):
    """Size and time of the last change, in ns, of a file."""

    bytes: int
    modified: int


NO_STATE = FileState(-1, -1)


class Written(NamedTuple):
    """A stored image: its row, the CRC-32 of its pixels, the state of its file before decoding."""

    row: int
    checksum: int
    source: FileState | None


class Partial:
    """Squares and, beside them, a record of which rows are finished.

    A row is marked as finished once its pixels are on the disk, so neither a killed process nor
    a power cut leaves a mark without its pixels. What the record does not know is written again.
    """

    def __init__(self, folder: Path, key: str, count: int, size: int) -> None:
        self.squares = SquareFile(folder / f"{key}.npy", count, size)
        self._record_path = folder / f"{key}.record"
        if not self.squares.path.exists() or not self._record_is_whole(count):
            self._record_path.unlink(missing_ok=True)
        self.squares.path.touch()
        self.squares.lay_out(count)
        mode = "r+" if self._record_path.exists() else "w+"
        self._record = np.memmap(self._record_path, RECORD, mode, shape=(count,))  # type: ignore[call-overload]
        self._unmarked: list[Written] = []
        self._flushed = time.monotonic()

    @property
    def finished(self) -> np.ndarray:
        """Rows that are finished, in order."""
        return np.flatnonzero(self._record["finished"])

    def forget_changed(self, source: Callable[[int], FileState | None]) -> None:
        """Take the mark from rows whose file is not in the state that it was decoded in."""
        rows = self.finished
        known = self._record[["bytes", "modified"]][rows].tolist()
        changed = [
            row
            for row, state in zip(rows, known, strict=True)
            if (source(row) or NO_STATE) != state
        ]
        self.forget(changed)

    def forget(self, rows: Sequence[int] | np.ndarray) -> None:
        """Take the mark from rows, so that they are written again."""
        self._record["finished"][rows] = False
        self._record.flush()

    def add(self, written: Sequence[Written]) -> None:
        """Mark rows as finished, about once a second."""
        self._unmarked += written
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring all pixels to the disk, then mark their rows."""
        if self._unmarked:
            self.squares.sync()
            rows = [written.row for written in self._unmarked]
            details = [(one.checksum, *(one.source or NO_STATE), False) for one in self._unmarked]
            self._record[rows] = np.array(details, RECORD)
            self._record.flush()
            self._record["finished"][rows] = True
            self._record.flush()
            self._unmarked = []
        self._flushed = time.monotonic()

    def close_up(self) -> np.ndarray:
        """Move the finished rows together and drop the others; returns which they were.

        Rows that may move lose their mark first: a kill meanwhile costs them.
        """
        rows = self.finished
        if len(rows) < self.squares.count:
            moved = np.flatnonzero(rows != np.arange(len(rows))).tolist()
            self.forget(rows[moved])
            with self.squares.writer() as write:
                for new, pixels in zip(moved, self.squares.read(rows[moved]), strict=True):
                    write(new, np.frombuffer(pixels, np.uint8))
            self.squares.lay_out(len(rows))
            self.squares = SquareFile(self.squares.path, len(rows), self.squares.size)
            self.squares.sync()
        return rows

    def differing(self, rows: np.ndarray, threads: int) -> np.ndarray:
        """Which of `rows`, the ones that the file now holds, have not the pixels as decoded."""
        blocks = [
            range(first, min(first + CHECKED_ROWS, len(rows)))
            for first in range(0, len(rows), CHECKED_ROWS)
        ]
        with ThreadPoolExecutor(threads) as pool:
            checksums = list(chain.from_iterable(pool.map(self.squares.checksums, blocks)))
        return rows[np.array(checksums) != self._record["checksum"][rows]]

    def move(self, destination: Path) -> None:
        """Give the file its final name, where it appears whole; that may be on another disk.

        Raises:
            UserError: it cannot be written there; what is finished stays so.
        """
        try:
            with write_aside(destination) as aside:
                shutil.move(self.squares.path, aside)
        except OSError as error:
            raise UserError(
                f"{destination} cannot be written ({error.strerror}); make room there, then run "
                "again to go on"
            ) from None
        self._record_path.unlink()

    def _record_is_whole(self, count: int) -> bool:
        path = self._record_path
        return path.exists() and path.stat().st_size == count * RECORD.itemsize


@contextmanager
def open_partial(
    folder: Path, key: str, count: int, size: int, least_size: int
) -> Iterator[Partial]:
    """Begin a file of squares, or go on with the one of the same key; remove those of other keys.

    Args:
        folder: where they lie, of one process at a time.
        key: of what determines the pixels.
        count: of images.
        size: in pixels.
        least_size: below which no size is proposed where the disk has too little room.

    Raises:
        UserError: another process is at work in the folder, or the disk has too little room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        _remove_others(folder, key)
        check_room(folder, taken_room(folder / f"{key}.npy"), count, size, least_size)
        partial = Partial(folder, key, count, size)
        try:
            yield partial
        finally:
            partial.flush()


def _lock(folder: Path) -> AcquireReturnProxy:
    try:
        return FileLock(folder / "lock").acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"another process is storing images in {folder}; wait until it ends, or end it"
        ) from None


def _remove_others(folder: Path, key: str) -> None:
    others = [
        path for path in folder.iterdir() if path.stem != key and path.suffix in (".npy", ".record")
    ]
    if others:
        room = sum(map(taken_room, others))
        log.info(
            "prepare-data: removed %.1f GB left by a run that did not end, "
            "with other images, settings or code",
            room / 1e9,
        )
    for path in others:
        path.unlink()
