"""Several processes that work at the same thing."""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.errors import UserError


def run_in_processes(
    work: Callable[..., None], arguments: Sequence[tuple[Any, ...]], command: str
) -> None:
    """Call `work` once with each tuple of arguments, each in a new process, and wait for all.

    Raises:
        UserError: a process failed; `command` is what goes on with the rest.
    """
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_call, args=(work, *given)) for given in arguments]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()
    if failed := [process.exitcode for process in processes if process.exitcode]:
        raise UserError(
            f"{len(failed)} of {len(processes)} processes failed (exit code {failed[0]}); their "
            f"messages are above, `{command}` goes on with what is finished"
        )


def _call(work: Callable[..., None], *given: Any) -> None:
    try:
        work(*given)
    except UserError as error:
        sys.exit(f"Error: {error}")
