"""Decode every image once and keep it as a small square in one memory-mapped file."""

import ctypes
import functools
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

import PIL
from PIL import UnidentifiedImageError

from pipeline.common.errors import UserError
from pipeline.common.resume import resume_key
from pipeline.datasets.listing import Read, name_some, one_line
from pipeline.datasets.store.decode import large_images_allowed, to_square
from pipeline.datasets.store.partial import FileState, Written, open_partial
from pipeline.datasets.store.square_file import SquareFile

CHUNK_IMAGES = 16
CHUNK_SECONDS = 0.3
# Starting processes costs seconds: fewer than these, of work for one process, are not worth it.
POOL_SECONDS = 15.0

# Rows and paths; what was written, and unreadable rows with the reason.
Chunk = Sequence[tuple[int, str]]
Stored = tuple[list[Written], list[tuple[int, str]]]

log = logging.getLogger(__name__)

_stop: ctypes.c_bool | None = None


def store_images(
    paths: Sequence[str],
    read: Read,
    destination: Path,
    size: int,
    *,
    work: Path,
    least_size: int,
    on_bad_image: Literal["stop", "skip"],
    workers: int,
    on_progress: Callable[[int], None],
) -> list[int]:
    """Write all images as squares into a .npy file, uint8 [N, size, size, 3], row for row.

    The file appears when it is whole and was read again, each row with the checksum that it had
    when it was decoded. What was stored before a kill or an error is not decoded again, unless
    the file of the image has another size or modification time since; unreadable images are
    tried again. Images of up to 256 megapixels are decoded.

    Args:
        paths: what `read` opens the images by, in the order of the rows.
        read: opens an image; can be pickled.
        destination: of the file.
        size: in pixels.
        work: folder that holds the file while it is in the making.
        least_size: in pixels; no smaller one is proposed where the disk has too little room.
        on_bad_image: whether to leave unreadable images out, so that the rows of the others close
            up, or to raise once all images were tried.
        workers: most processes; more than one are started only where the work is worth it.
        on_progress: called with the number of images done since it was called last.

    Returns:
        Indices of the images left out, in order.

    Raises:
        UserError: images cannot be read (with "stop", or with "skip" all of them), the disk has
            too little room, a process was killed, another one is at work in `work`, or a stored
            image is not what was decoded.
    """
    with open_partial(work, _key(paths, read, size), len(paths), size, least_size) as partial:
        partial.forget_changed(lambda row: _source_state(read, paths[row]))
        finished = set(partial.finished.tolist())
        if finished:
            log.info("prepare-data: %d of %d images are finished", len(finished), len(paths))
            on_progress(len(finished))
        unfinished = [(row, path) for row, path in enumerate(paths) if row not in finished]
        bad: list[tuple[int, str]] = []
        store = functools.partial(_store_chunk, read, partial.squares)
        # Closed even while an exception holds the frame: closing is what ends the processes.
        with closing(_store_all(unfinished, store, workers)) as stored:
            for written, found in stored:
                partial.add(written)
                bad += found
                on_progress(len(written) + len(found))
        partial.flush()
        bad.sort()
        if bad and (on_bad_image == "stop" or len(bad) == len(paths)):
            raise _unreadable(bad, paths, read)
        differing = partial.differing(partial.close_up(), workers)
        if len(differing):
            partial.forget(differing)
            raise _differing([read.locate(paths[row]) for row in differing], len(paths))
        partial.move(destination)
    return [row for row, _ in bad]


def _key(paths: Sequence[str], read: Read, size: int) -> str:
    """Of what determines the pixels, but for the image files, whose state is kept one by one."""
    steering = {
        "paths": list(paths),
        "reader": pickle.dumps(read).hex(),
        "size": size,
        "pillow": PIL.__version__,
    }
    return resume_key(steering, [], ("datasets/**/*.py",))


def _source_state(read: Read, path: str) -> FileState | None:
    """Of the file that holds an image, alone or as <file>#<index>; None where there is none."""
    located = Path(read.locate(path))
    holder = located.with_name(located.name.rpartition("#")[0] or located.name)
    for file in (located, holder):
        try:
            state = file.stat()
        except OSError:
            continue
        return FileState(state.st_size, state.st_mtime_ns)
    return None


def _store_all(images: Chunk, store: Callable[[Chunk], Stored], workers: int) -> Generator[Stored]:
    start = time.monotonic()
    for first in range(0, len(images), CHUNK_IMAGES):
        left = len(images) - first
        seconds = (time.monotonic() - start) / max(first, 1)
        if workers > 1 and first > 0 and seconds * left > POOL_SECONDS:
            step = max(1, min(round(CHUNK_SECONDS / seconds), left // (4 * workers)))
            chunks = (images[row : row + step] for row in range(first, len(images), step))
            yield from _store_in_pool(chunks, store, workers)
            return
        yield store(images[first : first + CHUNK_IMAGES])


def _store_in_pool(
    chunks: Iterable[Chunk], store: Callable[[Chunk], Stored], workers: int
) -> Generator[Stored]:
    # A forked child could inherit a lock that one of torch's threads holds.
    context = multiprocessing.get_context("spawn")
    # Without a lock, which a worker killed at the wrong moment would keep for ever.
    stop = context.RawValue(ctypes.c_bool, False)
    pool = ProcessPoolExecutor(workers, context, _begin_worker, (stop,))
    try:
        # Held by no name, so that each is freed when it is done.
        for future in as_completed([pool.submit(store, chunk) for chunk in chunks]):
            yield future.result()
    except BrokenProcessPool:
        raise UserError(
            "a process that decoded images ended early, most often killed for lack of memory; "
            "close other programs or shrink the largest images, then run again to go on"
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


def _store_chunk(read: Read, squares: SquareFile, images: Chunk) -> Stored:
    written, bad = [], []
    with large_images_allowed(), squares.writer() as write:
        for row, path in images:
            if _stop is not None and _stop.value:
                break
            # Before decoding: a file that changes meanwhile is then known to have changed.
            source = _source_state(read, path)
            try:
                with read(path) as image:
                    square = to_square(image, squares.size)
            # Pillow has no type of its own for damaged files: nearly any can come.
            except Exception as error:
                bad.append((row, _reason(error)))
            else:
                write(row, square)
                written.append(Written(row, zlib.crc32(square.data), source))
    return written, bad


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


def _differing(names: Sequence[str], count: int) -> UserError:
    return UserError(
        f"{len(names)} of {count} stored images are not what was decoded: {name_some(names, 3)}; "
        "the disk or the memory may be faulty, or another program wrote into the file; run again "
        "to decode these anew"
    )
