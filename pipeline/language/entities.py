"""How good predicted tags are, entity by entity, and how sure that is.

Entities count as the evaluation script of CoNLL, conlleval, counts them: an entity is right where
type, beginning and end are. A tag I-<type> that goes on with nothing begins an entity; strictly it
is none, see strict_scores. Source: Tjong Kim Sang and De Meulder, CoNLL-2003.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from pipeline.report.metrics import Interval, percentile_interval, resampled

Tags = Sequence[Sequence[str]]  # of each sentence
SCORES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class EntityCounts:
    """Of each sentence and type: right, predicted and true entities, int64 [3, sentence, type]."""

    counts: np.ndarray

    def scores(self) -> dict[str, float]:
        """Precision, recall and F1 over all types, in [0, 1]; 0 where they are of nothing."""
        return dict(zip(SCORES, _scores(self.counts.sum(axis=(1, 2))).tolist(), strict=True))

    def by_type(self, types: Sequence[str]) -> dict[str, dict[str, float]]:
        """The same of each type by name, and how many true `entities` there are of it."""
        totals = self.counts.sum(axis=1)
        return {
            name: dict(zip(SCORES, _scores(totals[:, place]).tolist(), strict=True))
            | {"entities": int(totals[2, place])}
            for place, name in enumerate(types)
        }


def count_entities(true: Tags, predicted: Tags, types: Sequence[str]) -> EntityCounts:
    """Count sentence by sentence.

    Raises:
        ValueError: a sentence has not a predicted tag for each true one.
    """
    counts = np.zeros((3, len(true), len(types)), dtype=np.int64)
    place = {name: number for number, name in enumerate(types)}
    for row, (given, found) in enumerate(zip(true, predicted, strict=True)):
        if len(given) != len(found):
            raise ValueError(f"sentence {row}: {len(given)} true and {len(found)} predicted tags")
        first, second = (set(get_entities(list(tags))) for tags in (given, found))
        for kind, entities in enumerate((first & second, second, first)):
            for name, _, _ in entities:
                counts[kind, row, place[name]] += 1
    return EntityCounts(counts)


def strict_scores(true: Tags, predicted: Tags) -> dict[str, float]:
    """Precision, recall and F1 where only what begins with B- is an entity."""
    values: Any = precision_recall_fscore_support(
        *([list(tags) for tags in one] for one in (true, predicted)),
        average="micro",
        scheme=IOB2,
        zero_division=0,
    )
    return {name: float(value) for name, value in zip(SCORES, values, strict=False)}


def mean_scores(samples: Sequence[EntityCounts]) -> dict[str, float]:
    """Precision, recall and F1, mean over samples."""
    found = [counts.scores() for counts in samples]
    return {name: float(np.mean([one[name] for one in found])) for name in SCORES}


def score_intervals(
    samples: Sequence[EntityCounts], resamples: int, seed: int
) -> dict[str, Interval]:
    """95% bootstrap intervals of mean_scores: samples are resampled, then the sentences of each."""
    draws = _draws([samples], resamples, seed)[0]
    return {name: percentile_interval(draws[:, place]) for place, name in enumerate(SCORES)}


@dataclass(frozen=True)
class F1Difference:
    """F1 of the second method minus that of the first, mean over samples.

    Attributes:
        difference: in [-1, 1].
        low, high: 95% interval, by resampling samples, then the sentences of each.
        by_sample: of each sample.
        sentences: on which both were judged, of all samples.
    """

    difference: float
    low: float
    high: float
    by_sample: tuple[float, ...]
    sentences: int

    @property
    def exceeds_noise(self) -> bool:
        return self.low > 0 or self.high < 0


def f1_difference(
    first: Sequence[EntityCounts], second: Sequence[EntityCounts], resamples: int, seed: int
) -> F1Difference:
    """Compare two methods on the same sentences of the same samples.

    Raises:
        ValueError: the true entities of a sample differ.
    """
    for one, other in zip(first, second, strict=True):
        if not np.array_equal(one.counts[2], other.counts[2]):
            raise ValueError("the two methods were judged on other sentences or tags")
    before, after = _draws([first, second], resamples, seed)
    low, high = percentile_interval((after - before)[:, SCORES.index("f1")])
    by_sample = [
        other.scores()["f1"] - one.scores()["f1"] for one, other in zip(first, second, strict=True)
    ]
    sentences = sum(one.counts.shape[1] for one in first)
    return F1Difference(float(np.mean(by_sample)), low, high, tuple(by_sample), sentences)


def _draws(
    methods: Sequence[Sequence[EntityCounts]], resamples: int, seed: int
) -> list[np.ndarray]:
    """Of each method scores [resample, 3], all on the same resamples."""
    totals = [[one.counts.sum(axis=2) for one in samples] for samples in methods]
    sizes = [counts.shape[1] for counts in totals[0]]
    found: list[list[np.ndarray]] = [[] for _ in methods]
    for drawn in resampled(sizes, resamples, seed):
        for place, counts in enumerate(totals):
            parts = [_scores(counts[number][:, rows].sum(axis=1)) for number, rows in drawn]
            found[place].append(np.mean(parts, axis=0))
    return [np.array(draws) for draws in found]


def _scores(totals: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 of right, predicted and true."""
    right, predicted, true = totals.astype(float)
    return np.array(
        [
            right / predicted if predicted else 0.0,
            right / true if true else 0.0,
            2 * right / (predicted + true) if right else 0.0,
        ]
    )
