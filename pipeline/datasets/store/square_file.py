"""Squares of bytes in a .npy file, written and read row by row."""

import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0

from pipeline.common.errors import UserError


@dataclass(frozen=True)
class SquareFile:
    """A .npy file, uint8 [count, size, size, 3], written row by row, by several processes at once.

    Not through a memory map: on a full disk that kills the process, and its pages count as the
    process's memory.
    """

    path: Path
    count: int
    size: int

    def lay_out(self, rows: int) -> None:
        """Give the file its header and its length for so many rows; rows that stay are kept."""
        shape = (rows, self.size, self.size, 3)
        with self._open() as file:
            # A header keeps room for a longer first axis, so the rows stay where they are.
            write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            file.truncate(file.tell() + math.prod(shape))

    @contextmanager
    def writer(self) -> Iterator[Callable[[int, np.ndarray], None]]:
        """Give a function that writes one row; all are with the system when the block ends."""
        with self._open() as file:
            start = self._start()

            def write(row: int, square: np.ndarray) -> None:
                file.seek(start + row * square.nbytes)
                file.write(square.data)

            yield write

    def read(self, rows: Iterable[int]) -> Iterator[bytes]:
        """The pixels of some rows."""
        start, length = self._start(), self.size * self.size * 3
        with self.path.open("rb") as file:
            for row in rows:
                file.seek(start + row * length)
                yield file.read(length)

    def checksums(self, rows: Iterable[int]) -> list[int]:
        """CRC-32 of the pixels of some rows."""
        return [zlib.crc32(pixels) for pixels in self.read(rows)]

    def sync(self) -> None:
        """Wait until everything that was written is on the disk."""
        with self._open() as file:
            os.fsync(file.fileno())

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("r+b") as file:
                yield file
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written ({error.strerror}); make room on the disk, then "
                "run again to go on"
            ) from None

    def _start(self) -> int:
        return self.path.stat().st_size - self.count * self.size * self.size * 3
