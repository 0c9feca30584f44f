"""Decode every image once and keep it as a small square in one memory-mapped file.

Storing 70,000 images takes minutes to hours, so it is gone on with after a kill. All that takes is
a mark for each row, the state of the image's file; what else decides the pixels is in the name.
"""

import functools
import logging
import pickle
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
from filelock import AcquireReturnProxy, FileLock, Timeout
from numpy.lib.format import open_memmap

from pipeline.common.damage import reading_work
from pipeline.common.errors import UserError
from pipeline.common.files import write_aside
from pipeline.common.interpolation import Interpolation
from pipeline.common.resume import resume_key
from pipeline.datasets.listing import Read, name_some
from pipeline.datasets.store.decode import large_images_allowed, reason, to_square
from pipeline.datasets.store.disk_space import check_room, lay_out, move_rows, writing
from pipeline.datasets.store.pool import Chunk, Tried, store_in_pool

CHUNK_IMAGES = 16
# Starting processes costs seconds: fewer than these, of work for one process, are not worth it.
POOL_SECONDS = 15.0
NO_FILE = (-1, -1)

log = logging.getLogger(__name__)


def store_images(
    paths: Sequence[str],
    read: Read,
    destination: Path,
    size: int,
    interpolation: Interpolation,
    *,
    work: Path,
    least_size: int,
    on_bad_image: Literal["stop", "skip"],
    workers: int,
    on_progress: Callable[[int], None],
) -> list[int]:
    """Write all images as squares into a .npy file, uint8 [N, size, size, 3], row for row.

    The file appears when it is whole. What was stored before a kill or an error is not decoded
    again, unless the file of the image has another size or modification time since; unreadable
    images are tried again. Images of up to 256 megapixels are decoded.

    Args:
        paths: what `read` opens the images by, in the order of the rows.
        read: opens an image; can be pickled.
        destination: of the file.
        size: in pixels.
        interpolation: by which they are resized.
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
            too little room, a process was killed, or another one is at work in `work`.
    """
    with _lock(work):
        key = _key(paths, read, size, interpolation)
        squares = _begin(work, key, len(paths), size, least_size)
        store = functools.partial(_store_chunk, read, squares, interpolation)
        bad = sorted(_store_unfinished(paths, read, squares, store, workers, on_progress))
        if bad and (on_bad_image == "stop" or len(bad) == len(paths)):
            raise _unreadable(bad, paths, read)
        left_out = [row for row, _ in bad]
        move_rows(squares, np.delete(np.arange(len(paths)), left_out), destination)
        _marks(squares).unlink()
    return left_out


def _lock(work: Path) -> AcquireReturnProxy:
    work.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(work / "lock").acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"another process is storing images in {work}; wait until it ends, or end it"
        ) from None


def _key(paths: Sequence[str], read: Read, size: int, interpolation: Interpolation) -> str:
    """Of all that decides the pixels but the image files."""
    steering = {
        "paths": list(paths),
        "reader": pickle.dumps(read).hex(),
        "size": size,
        "interpolation": interpolation,
        "libraries": [PIL.__version__, version("cykooz-resizer")],
    }
    return resume_key(steering, [], ("datasets/**/*.py",))


def _file_state(located: Path) -> tuple[int, int]:
    """Size and time of the last change, in ns, of a file; of <file>#<index> those of <file>."""
    for file in (located, located.with_name(located.name.rpartition("#")[0] or located.name)):
        with suppress(OSError):
            state = file.stat()
            return state.st_size, state.st_mtime_ns
    return NO_FILE


def _begin(work: Path, key: str, count: int, size: int, least_size: int) -> Path:
    """The file in the making, laid out unless it is there; those of other keys are removed."""
    squares = work / f"{key}.npy"
    others = [path for path in work.iterdir() if path.stem != key and path.name != "lock"]
    if others:
        log.info("prepare-data: begins anew, with other images, settings or code than before")
    for path in others:
        path.unlink()
    if not squares.exists():
        check_room(work, count, size, least_size)
        with writing(squares), write_aside(squares) as aside:
            # First: squares that are there have marks.
            np.zeros((count, 2), np.int64).tofile(_marks(squares))
            lay_out(aside, count, size)
    return squares


def _marks(squares: Path) -> Path:
    """The file with the state, for each row, that the image's file had; 0 where not finished."""
    return squares.with_suffix(".marks")


def _store_unfinished(
    paths: Sequence[str],
    read: Read,
    squares: Path,
    store: Callable[[Chunk], Tried],
    workers: int,
    on_progress: Callable[[int], None],
) -> list[tuple[int, str]]:
    """Store what is not stored yet; returns unreadable rows with the reason."""
    states = [_file_state(Path(read.locate(path))) for path in paths]
    with reading_work(_marks(squares)):
        marks = np.fromfile(_marks(squares), np.int64).reshape(len(paths), 2)
    with reading_work(squares):
        open_memmap(squares, "r")
    done = (marks == states).all(axis=1)
    if finished := int(done.sum()):
        log.info("prepare-data: %d of %d images are finished", finished, len(paths))
        on_progress(finished)
    images = [(row, paths[row]) for row in np.flatnonzero(~done).tolist()]
    bad = []
    # Closed even while an exception holds the frame: closing is what ends the processes.
    with closing(_store_all(images, store, workers)) as chunks:
        for count, found in chunks:
            on_progress(count)
            bad += found
    return bad


def _store_all(images: Chunk, store: Callable[[Chunk], Tried], workers: int) -> Generator[Tried]:
    start = time.monotonic()
    chunks = [images[row : row + CHUNK_IMAGES] for row in range(0, len(images), CHUNK_IMAGES)]
    for number, chunk in enumerate(chunks, 1):
        yield store(chunk)
        left = (time.monotonic() - start) / number * (len(chunks) - number)
        if workers > 1 and left > POOL_SECONDS:
            yield from store_in_pool(chunks[number:], store, workers)
            return


def _store_chunk(read: Read, path: Path, interpolation: Interpolation, images: Chunk) -> Tried:
    bad = []
    # Opened anew for each chunk: the touched pages of a map count as the process's memory.
    squares = open_memmap(path, "r+")
    marks = np.memmap(_marks(path), np.int64, "r+", shape=(len(squares), 2))
    with large_images_allowed():
        for row, name in images:
            # Before decoding: a file that changes meanwhile is then known to have changed.
            state = _file_state(Path(read.locate(name)))
            try:
                with read(name) as image:
                    square = to_square(image, squares.shape[1], interpolation)
            # Pillow has no type of its own for damaged files: nearly any can come.
            except Exception as error:
                bad.append((row, reason(error)))
            else:
                squares[row] = square
                marks[row] = state
    return len(images), bad


def _unreadable(bad: Sequence[tuple[int, str]], paths: Sequence[str], read: Read) -> UserError:
    named = [read.locate(paths[row]) for row, _ in bad[:3]]
    named[0] += f" ({bad[0][1]})"
    return UserError(
        f"{len(bad)} of {len(paths)} images cannot be read: {name_some(named)}; mend or "
        "delete them, or leave them out with prepare_data.on_bad_image: skip"
    )
