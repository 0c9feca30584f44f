"""What the readers of published data sets share: their layout, their lists and their counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.common.errors import UserError, one_line
from pipeline.datasets.listing import Listing, Read, leads_out, name_some

ADVICE = "unpack the whole archive again"
COUNT_ADVICE = (
    f"{ADVICE}, or set prepare_data.expected_counts: any if a part of the data set is meant"
)


@dataclass(frozen=True)
class Counts:
    """How much a data set was published with.

    Attributes:
        classes: how many; None for any number.
        images: how many, by split as in `Listing`; a split left out may have any number.
        balanced: whether the classes of a split share its images evenly.
    """

    classes: int | None = None
    images: Mapping[str, int] = field(default_factory=dict)
    balanced: bool = False


ANY = Counts()


def find_layout(root: Path, archive_folders: Sequence[str], needed: Sequence[str]) -> Path:
    """The folder with all that is needed: root, or a folder of that name below it.

    Args:
        root: what the user named.
        archive_folders: names of the top folder inside the published archive.
        needed: files, and folders with a slash at the end, relative to the folder.

    Raises:
        UserError: files or folders are missing.
    """
    candidates = [root, *(root / name for name in archive_folders)]
    missing = [[name for name in needed if not _is_there(top, name)] for top in candidates]
    lacking, top = min(
        zip(missing, candidates, strict=True), key=lambda candidate: len(candidate[0])
    )
    if lacking:
        found = sorted(path.name for path in top.iterdir()) if top.is_dir() else []
        raise UserError(
            f"{top} lacks {', '.join(lacking)}; expected {', '.join(needed)} as published, found "
            f"{name_some(found) or 'nothing'}; unpack the archive there, or correct "
            "prepare_data.root"
        )
    return top


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without the white space around them; empty lines are left out.

    Raises:
        UserError: the file cannot be read, or has no other lines.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({one_line(error)}); {ADVICE}") from None
    stripped = [line.strip() for line in lines if line.strip()]
    if not stripped:
        raise UserError(f"{path} is empty; {ADVICE}")
    return stripped


def read_pairs(path: Path, form: str, *, from_right: bool = False) -> list[tuple[str, str]]:
    """Lines of two fields, split once at white space, so that one of them may contain some.

    Args:
        path: of the file.
        form: of a line, for messages.
        from_right: whether it is the first field that may contain white space.

    Raises:
        UserError: as `read_lines`; or a line has one field only.
    """
    pairs = []
    for line in read_lines(path):
        fields = line.rsplit(maxsplit=1) if from_right else line.split(maxsplit=1)
        if len(fields) != 2:
            raise UserError(f"{path}: expected lines {form}, found {line!r}; {ADVICE}")
        pairs.append((fields[0], fields[1]))
    return pairs


def read_numbered(path: Path, form: str) -> dict[int, str]:
    """Lines of a number and text, in the order of the file.

    Raises:
        UserError: as `read_pairs`; or a number is none, or is there twice.
    """
    values: dict[int, str] = {}
    for number, text in read_pairs(path, form):
        key = parse_number(number, path, form)
        if key in values:
            raise UserError(f"{path} has {key} twice; {ADVICE}")
        values[key] = text
    return values


def parse_number(text: str, path: Path, form: str) -> int:
    """A decimal number of a list.

    Raises:
        UserError: it is none.
    """
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"{path}: expected lines {form}, found {text!r} for a number; {ADVICE}")
    return int(text)


def class_of(classes: Mapping[int, str], number: int, path: Path, image: str) -> str:
    """The name of a class by its number in the data set.

    Raises:
        UserError: no class has the number.
    """
    if number not in classes:
        raise UserError(
            f"{path} gives {image} the class {number}; expected {min(classes)} to {max(classes)}; "
            f"{ADVICE}"
        )
    return classes[number]


def check_count(path: Path, what: str, expected: int | None, found: int) -> None:
    """Refuse, with a UserError, another number of things in a file than was published."""
    if expected is not None and expected != found:
        raise UserError(f"{path}: expected {expected:,} {what}, found {found:,}; {COUNT_ADVICE}")


def check_balance(path: Path, class_names: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse, with a UserError, classes of which one has more images than another.

    Args:
        path: of the list, for messages.
        class_names: of each image.
        classes: of the data set, at least one.
    """
    counts, expected = Counter(class_names), len(class_names) // len(classes)
    uneven = [f"{name} {counts[name]:,}" for name in classes if counts[name] != expected]
    if uneven:
        raise UserError(
            f"{path}: expected {expected:,} images of each class, found {name_some(uneven)}; "
            f"{COUNT_ADVICE}"
        )


def check_images_exist(root: Path, paths: Sequence[str], listed_in: str) -> None:
    """Refuse, with a UserError, a list of images that are not all there, or are empty files, or lie
    outside of root, where nobody expects that they are read.
    """
    if outside := [path for path in paths if leads_out(path)]:
        raise UserError(
            f"{listed_in} names files outside of {root}: {name_some(outside)}; {ADVICE}"
        )
    absent = [path for path in paths if not _has_content(root / path)]
    if absent:
        raise UserError(
            f"{listed_in}: expected {len(paths):,} image files below {root}, found "
            f"{len(paths) - len(absent):,}; absent or empty: {name_some(absent)}; "
            f"{ADVICE}"
        )


def build_listing(
    rows: Sequence[tuple[str, str, str]], classes: Sequence[str], read: Read, root: Path
) -> Listing:
    """A listing of (split, class name, path), each path and each class of it once.

    Raises:
        UserError: a path or a class is there twice.
    """
    samples = pd.DataFrame(list(rows), columns=["split", "class_name", "path"])
    twice = samples["path"][samples["path"].duplicated()].tolist()
    if twice:
        raise UserError(
            f"the lists in {root} have {len(twice):,} images twice: {name_some(twice)}; {ADVICE}"
        )
    repeated = [name for name, count in Counter(classes).items() if count > 1]
    if repeated:
        raise UserError(f"{root} has classes of the same name: {name_some(repeated)}; {ADVICE}")
    return Listing(samples, tuple(classes), read)


def _is_there(top: Path, name: str) -> bool:
    return (top / name).is_dir() if name.endswith("/") else (top / name).is_file()


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
