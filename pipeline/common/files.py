"""Files and folders that are whole or not there at all."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.common.errors import UserError

IN_THE_MAKING = re.compile(r"\.(\d+)-[a-z0-9_]{8}(\.\w+)?")


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{os.getpid()}-"
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o644)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """In UTF-8, whole or not at all."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextmanager
def write_folder_aside(folder: Path) -> Iterator[Path]:
    """Give a new folder beside `folder`, which takes its place if the block succeeds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as work:
        aside = Path(work) / folder.name
        aside.mkdir()
        yield aside
        if folder.exists():
            folder.replace(Path(work) / "before")
        aside.replace(folder)


def copy_into(folder: Path, sources: Mapping[str, Path]) -> None:
    """Files under names of their own in a folder, each whole or not there at all."""
    for name, source in sources.items():
        with write_aside(folder / name) as aside:
            shutil.copyfile(source, aside)


def find_files(places: Sequence[Path], wanted: Callable[[Path], bool], what: str) -> list[Path]:
    """The files that are named, and the wanted ones below the folders that are named, sorted.

    Args:
        wanted: of a path below such a folder.
        what: may be named, for the message.

    Raises:
        UserError: a place does not exist.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += sorted(path for path in place.rglob("*") if wanted(path.relative_to(place)))
        elif place.exists():
            found.append(place)
        else:
            raise UserError(f"{place} does not exist; name {what}")
    return found


def content_hash(path: Path) -> str:
    """MD5 of a file's bytes in hexadecimal: the hash that dvc.lock has for it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
