"""Whether the stored images fit on the disk, and which smaller ones would."""

import math
from pathlib import Path
from shutil import disk_usage

from pipeline.common.errors import UserError

STEP = 8  # pixels, between sizes that are proposed


def check_room(folder: Path, taken: int, count: int, size: int, least_size: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        folder: that the images will lie in.
        taken: bytes of them that are there already.
        count: of images.
        size: side of the squares, in pixels.
        least_size: the smallest size that can be proposed instead, in pixels.

    Raises:
        UserError: there is too little room; it names the largest size that fits.
    """
    free = disk_usage(folder).free
    needed = stored_bytes(count, size)
    if needed <= free + taken:
        return
    fitting = largest_fitting(free + taken, count)
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
    before = f", of which {taken / 1e9:.1f} GB are written," if taken else ","
    raise UserError(
        f"the stored images need {needed / 1e9:.1f} GB{before} and {folder} has "
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


def taken_room(path: Path) -> int:
    """Bytes that a file takes on the disk, holes left out; 0 where there is none."""
    return path.stat().st_blocks * 512 if path.exists() else 0
