"""Chunks of images stored by several processes, which end with the one that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection

from pipeline.common.errors import UserError

# Rows and paths; how many images were tried, and unreadable rows with the reason.
Chunk = Sequence[tuple[int, str]]
Tried = tuple[int, list[tuple[int, str]]]


def store_in_pool(
    chunks: Sequence[Chunk], store: Callable[[Chunk], Tried], workers: int
) -> Generator[Tried]:
    """What `store` gives for each chunk, in the order in which they are finished.

    Raises:
        UserError: a process was killed.
    """
    # A forked child could inherit a lock that one of torch's threads holds.
    context = multiprocessing.get_context("spawn")
    # Workers end when the other end is closed: by an exception here, by the end, or by a kill.
    ended, end = context.Pipe(duplex=False)
    with ended, ProcessPoolExecutor(workers, context, _begin_worker, (ended,)) as pool, end:
        try:
            for future in as_completed([pool.submit(store, chunk) for chunk in chunks]):
                yield future.result()
        except BrokenProcessPool:
            raise UserError(
                "a process that decoded images ended early, most often killed for lack of memory; "
                "close other programs or shrink the largest images, then run again to go on"
            ) from None


def _begin_worker(ended: Connection) -> None:
    def end() -> None:
        ended.poll(None)
        # At once, amid an image: what is finished is marked.
        os._exit(1)

    # Ctrl-C reaches every process of a terminal; the parent alone decides what follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end, daemon=True).start()
