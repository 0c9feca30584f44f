"""Which entities a method misses, and how; sentences that two methods tag differently."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from seqeval.metrics.sequence_labeling import get_entities

from pipeline.language.entities import Tags

HOW = ("found", "other type", "other bounds", "not seen")


class Span(NamedTuple):
    """An entity: its type, its first and its last word."""

    name: str
    first: int
    last: int


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of a sentence, as conlleval takes them."""
    return [Span(*entity) for entity in get_entities(list(tags))]


def misses(true: Tags, predicted: Tags, types: Sequence[str]) -> pd.DataFrame:
    """A row a type: how many of its true entities are found, have another type with the same
    bounds, overlap with a predicted one of other bounds, or are not seen at all.
    """
    counts = Counter(
        (entity.name, how_found(entity, spans(tagged)))
        for given, tagged in zip(true, predicted, strict=True)
        for entity in spans(given)
    )
    rows = [[name, *(counts[name, how] for how in HOW)] for name in types]
    return pd.DataFrame(rows, columns=["type", *HOW])


def how_found(entity: Span, found: Sequence[Span]) -> str:
    """One of HOW."""
    if entity in found:
        return "found"
    if any(one[1:] == entity[1:] for one in found):
        return "other type"
    overlaps = (one.first <= entity.last and entity.first <= one.last for one in found)
    return "other bounds" if any(overlaps) else "not seen"


class Example(NamedTuple):
    """A sentence with its entities in brackets, as they are and as each method has them."""

    sentence: int
    true: str
    by_method: Mapping[str, str]


def disputed_sentences(
    tokens: Mapping[int, Sequence[str]],
    true: Tags,
    first: tuple[str, Tags],
    second: tuple[str, Tags],
    most: int,
) -> list[Example]:
    """Sentences on which two methods differ: by turns the best of the second and of the first.

    Args:
        tokens: of each sentence by its number, in the order of the tags.
        true: tags of each sentence.
        first, second: a method's name, and its tags.
    """
    leads = []
    for row, number in enumerate(tokens):
        right = set(spans(true[row]))
        errors = [len(right ^ set(spans(tags[row]))) for _, tags in (first, second)]
        leads.append((errors[0] - errors[1], row, number))
    better = sorted(lead for lead in leads if lead[0] > 0)[::-1]
    worse = sorted(lead for lead in leads if lead[0] < 0)
    half = most // 2
    chosen = [*better[: most - min(half, len(worse))], *worse[: most - min(half, len(better))]]
    return [
        Example(
            number,
            bracketed(tokens[number], true[row]),
            {name: bracketed(tokens[number], tags[row]) for name, tags in (first, second)},
        )
        for _, row, number in chosen[:most]
    ]


def bracketed(tokens: Sequence[str], tags: Sequence[str]) -> str:
    """As text.

    >>> bracketed(["In", "New", "York"], ["O", "B-LOC", "I-LOC"])
    'In [New York LOC]'
    """
    words = list(tokens)
    for entity in spans(tags):
        words[entity.first] = f"[{words[entity.first]}"
        words[entity.last] += f" {entity.name}]"
    return " ".join(words)
