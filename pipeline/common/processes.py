"""Several processes that work at the same thing, and what tells one of them from others."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from pipeline.common.errors import UserError
from pipeline.common.files import IN_THE_MAKING
from pipeline.common.launch import show_messages


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
    show_messages()
    try:
        work(*given)
    except UserError as error:
        sys.exit(f"Error: {error}")


def is_alive(pid: int) -> bool:
    """Whether this machine runs a process of this number, whoever owns it.

    One that has ended is dead also while its parent has not asked how.
    """
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def unfinished(folder: Path) -> list[Path]:
    """What killed processes of this machine had in the making in a folder and below it."""
    found = []
    for path in sorted(folder.rglob(".*")):
        named = IN_THE_MAKING.fullmatch(path.name)
        if named and path.is_file() and not is_alive(int(named[1])):
            found.append(path)
    return found


def process_tags() -> dict[str, str]:
    """Host and pid, from which a later run tells that this one was killed."""
    return {"host": socket.gethostname(), "pid": str(os.getpid())}


def this_machine() -> str:
    """What a process number belongs to: the host, its last start and its space of numbers.

    Two machines may have the same name, and two containers of one machine its start as well.
    """
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {start} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()
