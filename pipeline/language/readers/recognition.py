"""Which of the sources some files are, and in which scheme."""

from pathlib import Path
from typing import get_args

from pipeline.common.errors import UserError
from pipeline.language.listing import TextListing
from pipeline.language.readers.registry import SOURCES, list_text
from pipeline.language.tag_schemes import Scheme

ENDS = (".txt", ".tsv", ".conll", ".iob", ".bio", ".jsonl", ".train", ".annotated")


def is_text(place: Path) -> bool:
    """Whether a file is called as files of tokens and tags are, or a folder holds those of a
    source, and no folders, as one of images does.
    """
    if place.is_file():
        return place.name.endswith(ENDS)
    known = {name for _, names in SOURCES.values() for of in names.values() for name in of}
    files = list(place.iterdir()) if place.is_dir() else []
    return any(path.name in known for path in files) and all(map(Path.is_file, files))


def recognise(root: Path) -> tuple[str, Scheme, TextListing]:
    """Source, scheme and sentences: what reads the files without a complaint.

    Raises:
        UserError: none does; what the reader said that came furthest.
    """
    errors: list[UserError] = []
    for source in SOURCES:
        for scheme in reversed(get_args(Scheme)):
            try:
                return source, scheme, list_text(source, root, scheme)
            except UserError as error:
                errors.append(error)
    raise max(errors, key=_line)


def _line(error: UserError) -> int:
    """In which line of a file it arose; 0 where no file was read."""
    place = str(error).split(": ")[0].rpartition(":")[2]
    return int(place) if place.isdecimal() else 0
