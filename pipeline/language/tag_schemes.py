"""Tags of entities: checked, and brought into the one scheme that all stages work in, IOB2.

IOB2 begins every entity with B-<type> and goes on with I-<type>. IOB1, CoNLL-2003's own, begins
one with I-<type> and takes B-<type> only where an entity follows another one of its type at once.
Source: Tjong Kim Sang and Veenstra, Representing Text Chunks, EACL 1999.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from torch import Tensor

Scheme = Literal["iob1", "iob2"]

OUTSIDE = "O"
BEGIN, INSIDE = "B-", "I-"


class TagError(ValueError):
    """A tag that breaks its scheme.

    Attributes:
        position: of the tag in its sentence, from 0.
    """

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


def type_of(tag: str) -> str:
    """The entity's type, "" outside.

    >>> type_of("B-geo-loc")
    'geo-loc'
    """
    return tag.partition("-")[2]


def as_iob2(tags: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    """The tags of one sentence in IOB2.

    >>> as_iob2(["I-LOC", "B-LOC", "O"], "iob1")
    ('B-LOC', 'B-LOC', 'O')

    Raises:
        TagError: a tag is none, or stands where the scheme does not allow it.
    """
    converted, before = [], OUTSIDE
    for position, tag in enumerate(tags):
        if tag != OUTSIDE and not (tag.startswith((BEGIN, INSIDE)) and type_of(tag)):
            raise TagError(position, f"{tag!r} is no tag; expected O, B-<type> or I-<type>")
        goes_on = type_of(before) == type_of(tag)
        if scheme == "iob2" and tag.startswith(INSIDE) and not goes_on:
            raise TagError(
                position,
                f"{tag} follows {before}, but an entity of IOB2 begins with {BEGIN}{type_of(tag)}; "
                "mend it, or set prepare_data.scheme: iob1 where all files are in that scheme",
            )
        if scheme == "iob1" and tag.startswith(BEGIN) and not goes_on:
            raise TagError(
                position,
                f"{tag} follows {before}, but IOB1 has {BEGIN} only between two entities of one "
                "type; set prepare_data.scheme: iob2",
            )
        begins = tag.startswith(INSIDE) and not goes_on
        converted.append(BEGIN + type_of(tag) if begins else tag)
        before = tag
    return tuple(converted)


def tags_of(types: Iterable[str]) -> list[str]:
    """All tags of IOB2 in label order: O, then B- and I- of each type."""
    return [OUTSIDE, *(prefix + name for name in types for prefix in (BEGIN, INSIDE))]


def types_of(tags: Sequence[str]) -> list[str]:
    """The types behind tags_of, in its order."""
    return [type_of(tag) for tag in tags if tag.startswith(BEGIN)]


def type_labels(labels: Tensor) -> Tensor:
    """Which type, from 0, each label of tags_of belongs to; -1 for O. B- and I- have the same."""
    return (labels - 1) // 2
