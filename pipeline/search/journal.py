"""Optuna's journal file, which fails as its other storages do and outlives a line cut short."""

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO

from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend

from pipeline.common.errors import reason_of

BLOCK = 65_536  # bytes


class JournalError(StorageInternalError):
    """What it says holds no secret, unlike what drivers of databases say."""


class Journal(JournalFileBackend):
    """A disk that is full or a file system that went away is a StorageInternalError.

    A process that is killed while it writes, or a disk that is full, leaves a line without an end.
    Optuna appends to it, and the journal can be read no more; here the next to write takes it away.
    """

    def require_whole_end(self) -> None:
        """ValueError where the last line is no JSON, although it has an end: Optuna reads on."""
        content = Path(self._file_path).read_bytes()
        if content.endswith(b"\n"):
            json.loads(content.splitlines()[-1])

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        try:
            yield from super().read_logs(log_number_from)
        except (OSError, ValueError) as error:
            raise JournalError(f"the journal cannot be read: {reason_of(error)}") from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        try:
            self._lock.acquire()
            try:
                with Path(self._file_path).open("r+b") as file:
                    file.seek(_end_of_last_line(file))
                    file.truncate()
                    file.write(lines.encode())
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                self._lock.release()
        except (OSError, RuntimeError) as error:  # of the file, of its lock
            raise JournalError(f"the journal cannot be written: {reason_of(error)}") from None


def _end_of_last_line(file: BinaryIO) -> int:
    """Where the last line ends that is whole, in bytes."""
    place = file.seek(0, os.SEEK_END)
    while place:
        start = max(place - BLOCK, 0)
        file.seek(start)
        if (found := file.read(place - start).rfind(b"\n")) >= 0:
            return start + found + 1
        place = start
    return 0
