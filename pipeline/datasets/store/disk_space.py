"""Room on the disk for the stored images: whether there is enough, and files that have theirs."""

import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage, move

import numpy as np
from numpy.lib.format import open_memmap

from pipeline.common.errors import UserError
from pipeline.common.files import write_aside

STEP = 8  # pixels, between sizes that are proposed
COPIED_ROWS = 16


def check_room(folder: Path, count: int, size: int, least_size: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        folder: that the images will lie in.
        count: of images.
        size: side of the squares, in pixels.
        least_size: the smallest size that can be proposed instead, in pixels.

    Raises:
        UserError: there is too little room; it names the largest size that fits.
    """
    free = disk_usage(folder).free
    needed = stored_bytes(count, size)
    if needed <= free:
        return
    fitting = largest_fitting(free, count)
    if fitting >= least_size:
        proposal = (
            f"lower prepare_data.stored_size to {fitting} "
            f"({stored_bytes(count, fitting) / 1e9:.1f} GB) or images_per_class"
        )
    else:
        proposal = (
            "lower prepare_data.images_per_class (no stored_size fits that holds "
            f"source_model.input_size {least_size})"
        )
    raise UserError(
        f"the stored images need {needed / 1e9:.1f} GB, and {folder} has "
        f"{free / 1e9:.1f} GB free; make room, or {proposal}"
    )


def stored_bytes(count: int, size: int) -> int:
    """Bytes of so many squares of one byte a colour.

    >>> stored_bytes(70_000, 256) / 1e9
    13.76256
    """
    return count * size * size * 3


def largest_fitting(room: int, count: int) -> int:
    """The largest side, in steps of 8 pixels, of so many squares in `room` bytes.

    >>> largest_fitting(10_000_000_000, 70_000)
    216
    """
    return math.isqrt(room // (3 * count)) // STEP * STEP


def lay_out(path: Path, count: int, size: int) -> None:
    """Write a .npy file of zeros, uint8 [count, size, size, 3], whose blocks are taken now.

    In a file with holes, a write through a memory map kills the process where the disk is full.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    open_memmap(path, "w+", np.uint8, (count, size, size, 3))
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except (AttributeError, OSError) as error:
            # macOS lacks the call, and some file systems cannot do it.
            if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            file.seek(-stored_bytes(count, size), os.SEEK_END)
            for _ in range(count):
                file.write(bytes(stored_bytes(1, size)))


def copy_rows(source: Path, rows: np.ndarray, destination: Path) -> None:
    """Write some of the squares of a .npy file, in the order of `rows`, into one of their own.

    Raises:
        OSError: as `lay_out`.
    """
    lay_out(destination, len(rows), np.load(source, mmap_mode="r").shape[1])
    for first in range(0, len(rows), COPIED_ROWS):
        some = slice(first, first + COPIED_ROWS)
        # Opened anew: the touched pages of a map count as the process's memory.
        np.load(destination, mmap_mode="r+")[some] = np.load(source, mmap_mode="r")[rows[some]]


def move_rows(squares: Path, rows: np.ndarray, destination: Path) -> None:
    """Give some rows of a .npy file, or all of it, another name, which may be on another disk.

    Raises:
        UserError: there is no room.
    """
    with writing(destination), write_aside(destination) as aside:
        if len(rows) == len(np.load(squares, mmap_mode="r")):
            move(squares, aside)
        else:
            copy_rows(squares, rows, aside)
    squares.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell the user of a file that cannot be written.

    Raises:
        UserError: what was done within raised OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); make room there, then run "
            "again to go on"
        ) from None
