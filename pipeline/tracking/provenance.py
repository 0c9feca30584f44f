"""Which process and which state of the code a run comes from."""

import os
import socket
import subprocess
from pathlib import Path

import psutil


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


def git_tags(root: Path) -> dict[str, str]:
    """The commit and whether tracked files differ from it; empty outside a repository."""

    def git(*arguments: str) -> str:
        result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
        return result.stdout.strip()

    if not (commit := git("rev-parse", "HEAD")):
        return {}
    dirty = bool(git("status", "--porcelain", "--untracked-files=no", "--", ":!dvc.lock"))
    return {"mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}
