"""Image files that are there more than once, under other names."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.common.files import content_hash
from pipeline.datasets.listing import Read, name_some, require_regular

THREADS = 8  # reading waits for the disk, and hashing lets other threads run
NAMED = 3


@dataclass(frozen=True)
class Repeats:
    """Files of equal bytes; a group is the paths of one content, in the order of the table.

    Attributes:
        across_splits, across_classes: groups in several of them; a group may be in both.
        within_class: all other groups.
    """

    across_splits: tuple[tuple[str, ...], ...]
    across_classes: tuple[tuple[str, ...], ...]
    within_class: tuple[tuple[str, ...], ...]

    @property
    def harmful(self) -> list[str]:
        """What is wrong with those in several splits or classes, a clause each; [] without any."""
        return [
            f"equal files {where} ({len(groups)}), {harm}; keep one file of each: {named(groups)}"
            for groups, where, harm in (
                (self.across_splits, "are in several splits", "a test would reward memory"),
                (self.across_classes, "are in several classes", "one of the labels is wrong"),
            )
            if groups
        ]


def find_repeats(files: pd.DataFrame) -> Repeats:
    """The files that are there more than once.

    Args:
        files: columns split, class_name, path and content, its hash; "" is equal to nothing.
    """
    known = files[files["content"] != ""]
    repeated = known[known["content"].duplicated(keep=False)]
    across: dict[str, list[tuple[str, ...]]] = {"split": [], "class_name": [], "": []}
    for _, group in repeated.groupby("content", sort=False):
        differing = [name for name in ("split", "class_name") if group[name].nunique() > 1]
        for name in differing or [""]:
            across[name].append(tuple(group["path"]))
    return Repeats(*map(tuple, across.values()))


def repeats_of_samples(
    samples: Sequence[pd.DataFrame], classes: Sequence[str], read: Read
) -> Repeats:
    """What is there more than once in one of several samples, each with splits of its own.

    Args:
        samples: manifests, columns split, label and path.
        classes: names, in label order.
    """
    paths = list(dict.fromkeys(path for sample in samples for path in sample["path"]))
    located = [Path(read.locate(path)) for path in paths]
    content = dict(zip(paths, contents(located), strict=True))
    found = [
        find_repeats(
            sample.assign(
                class_name=[classes[label] for label in sample["label"]],
                content=sample["path"].map(content),
            )
        )
        for sample in samples
    ]

    def distinct(groups: Sequence[tuple[tuple[str, ...], ...]]) -> tuple[tuple[str, ...], ...]:
        return tuple(dict.fromkeys(group for of_sample in groups for group in of_sample))

    return Repeats(
        distinct([one.across_splits for one in found]),
        distinct([one.across_classes for one in found]),
        distinct([one.within_class for one in found]),
    )


def contents(files: Sequence[Path]) -> list[str]:
    """A hash of each file's bytes, "" of one whose size no other has, or that cannot be read.

    Of 10,000 photographs nearly all have a size of their own, so that few are read.
    """
    sizes = pd.Series([_size(file) for file in files])
    in_doubt = sizes.duplicated(keep=False) & (sizes >= 0)
    doubtful = [file for file, doubt in zip(files, in_doubt, strict=True) if doubt]
    with ThreadPoolExecutor(THREADS) as pool:
        hashes = pool.map(_hash, doubtful)
        return [next(hashes) if doubt else "" for doubt in in_doubt]


def named(groups: Sequence[Sequence[str]]) -> str:
    """The first few groups of equal files, for a message."""

    def equal(group: Sequence[str]) -> str:
        further = f" = {len(group) - NAMED} more" if len(group) > NAMED else ""
        return " = ".join(group[:NAMED]) + further

    return name_some([equal(group) for group in groups], NAMED)


def _size(file: Path) -> int:
    try:
        require_regular(file)
        return file.stat().st_size
    except (OSError, ValueError):  # <file>#<index> is none
        return -1


def _hash(file: Path) -> str:
    try:
        return content_hash(file)
    except OSError:
        return ""
