"""Decode every image once and keep it as a small square in one memory-mapped file."""

import ctypes
import functools
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from shutil import disk_usage
from typing import Literal

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0
from PIL import UnidentifiedImageError

from pipeline.datasets.listing import Read, name_some, one_line
from pipeline.datasets.squares import large_images_allowed, to_square
from pipeline.errors import UserError
from pipeline.files import write_aside

CHUNK_IMAGES = 16
CHUNK_SECONDS = 0.3
# Starting processes costs seconds: fewer than these, of work for one process, are not worth it.
POOL_SECONDS = 15.0

# First row and paths; unreadable rows with the reason and number of paths done.
Chunk = tuple[int, Sequence[str]]
Stored = tuple[list[tuple[int, str]], int]

_stop: ctypes.c_bool | None = None


def store_images(
    paths: Sequence[str],
    read: Read,
    destination: Path,
    size: int,
    *,
    on_bad_image: Literal["stop", "skip"],
    workers: int,
    on_progress: Callable[[int], None],
) -> list[int]:
    """Write all images as squares into a .npy file, uint8 [N, size, size, 3], row for row.

    The file appears when it is whole. Images of up to 256 megapixels are decoded.

    Args:
        paths: what `read` opens the images by, in the order of the rows.
        read: opens an image; can be pickled.
        destination: of the file.
        size: in pixels.
        on_bad_image: whether to leave unreadable images out, so that the rows of the others close
            up, or to raise once all images were tried.
        workers: most processes; more than one are started only where the work is worth it.
        on_progress: called with the number of images done since it was called last.

    Returns:
        Indices of the images left out, in order.

    Raises:
        UserError: images cannot be read (with "stop", or with "skip" all of them), the disk has
            too little room, or a process was killed.
    """
    with write_aside(destination) as aside:
        _check_room(aside.parent, len(paths) * size * size * 3)
        open_memmap(aside, mode="w+", dtype=np.uint8, shape=(len(paths), size, size, 3))
        bad: list[tuple[int, str]] = []
        store = functools.partial(_store_chunk, read, aside, size)
        # Closed even while an exception holds the frame: closing is what ends the processes.
        with closing(_store_all(paths, store, workers)) as stored:
            for found, done in stored:
                bad += found
                on_progress(done)
        bad.sort()
        if bad and (on_bad_image == "stop" or len(bad) == len(paths)):
            raise _unreadable(bad, paths, read)
        if bad:
            _close_up(aside, {row for row, _ in bad})
    return [row for row, _ in bad]


def _store_all(
    paths: Sequence[str], store: Callable[[Chunk], Stored], workers: int
) -> Generator[Stored]:
    start = time.monotonic()
    for first in range(0, len(paths), CHUNK_IMAGES):
        left = len(paths) - first
        seconds = (time.monotonic() - start) / max(first, 1)
        if workers > 1 and first > 0 and seconds * left > POOL_SECONDS:
            step = max(1, min(round(CHUNK_SECONDS / seconds), left // (4 * workers)))
            chunks = [(row, paths[row : row + step]) for row in range(first, len(paths), step)]
            yield from _store_in_pool(chunks, store, workers)
            return
        yield store((first, paths[first : first + CHUNK_IMAGES]))


def _store_in_pool(
    chunks: Sequence[Chunk], store: Callable[[Chunk], Stored], workers: int
) -> Generator[Stored]:
    # A forked child could inherit a lock that one of torch's threads holds.
    context = multiprocessing.get_context("spawn")
    # Without a lock, which a worker killed at the wrong moment would keep for ever.
    stop = context.RawValue(ctypes.c_bool, False)
    pool = ProcessPoolExecutor(workers, context, _begin_worker, (stop,))
    try:
        futures = [pool.submit(store, chunk) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise UserError(
            "a process that decoded images ended early, most often killed for lack of memory; "
            "close other programs or shrink the largest images, then run again"
        ) from None
    finally:
        stop.value = True
        pool.shutdown(cancel_futures=True)


def _begin_worker(stop: ctypes.c_bool) -> None:
    global _stop
    _stop = stop
    # Ctrl-C reaches every process of a terminal; the parent alone decides what follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _store_chunk(read: Read, aside: Path, size: int, chunk: Chunk) -> Stored:
    first, paths = chunk
    squares = open_memmap(aside, mode="r+")
    bad = []
    with large_images_allowed():
        for row, path in enumerate(paths, first):
            if _stop is not None and _stop.value:
                break
            try:
                with read(path) as image:
                    square = to_square(image, size)
            # Pillow has no type of its own for damaged files: nearly any can come.
            except Exception as error:
                bad.append((row, _reason(error)))
            else:
                squares[row] = square
    return bad, len(paths)


def _check_room(folder: Path, needed: int) -> None:
    free = disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"the stored images need {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB "
            "free; make room, or lower prepare_data.stored_size or images_per_class"
        )


def _close_up(path: Path, bad: set[int]) -> None:
    squares = open_memmap(path, mode="r+")
    good = [row for row in range(len(squares)) if row not in bad]
    for new, old in enumerate(good):
        squares[new] = squares[old]
    shape = (len(good), *squares.shape[1:])
    with path.open("r+b") as file:
        # A header keeps room for a longer first axis, so the rows stay where they are.
        write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + math.prod(shape))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    return (isinstance(error, OSError) and error.strerror) or one_line(error)


def _unreadable(bad: Sequence[tuple[int, str]], paths: Sequence[str], read: Read) -> UserError:
    named = [read.locate(paths[row]) for row, _ in bad[:3]]
    named[0] += f" ({bad[0][1]})"
    return UserError(
        f"{len(bad)} of {len(paths)} images cannot be read: {name_some(named)}; mend or "
        "delete them, or leave them out with prepare_data.on_bad_image: skip"
    )
