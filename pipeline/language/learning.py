"""What is learned from the states of entities, without their logits ever being held at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.artifacts import SplitLogits
from pipeline.common.formats import by_class
from pipeline.cotuning.calibration import TemperatureFit, fit_temperature
from pipeline.cotuning.diagnostics import most_similar_rows, row_entropies
from pipeline.language.extraction import EntityStates, evenly_spread
from pipeline.params.language_sections import CalibrateText, FitWords
from pipeline.sources.from_logits import Learned, learn_relationship

CHUNK = 256  # words whose probabilities are held at once
# That g is fitted to and chosen by; 10,000 x 1,001 probabilities, several times over, are 1 GB.
MOST_WORDS = {"train": 8000, "validation": 2000}
SPLITS = ("train", "validation")
CERTAIN = 2.0  # standard errors
SIMILAR_ROWS = 0.95  # cosine from which two rows hardly differ for the source head


@torch.inference_mode()
def head_logits(head: nn.Module, states: Tensor) -> Tensor:
    """Source logits [word, source] of a few words, on the CPU."""
    return torch.cat([head(chunk).float() for chunk in states.split(CHUNK)])


def probabilities_by_chunk(head: nn.Module, states: Tensor, temperature: float) -> Iterator[Tensor]:
    """p(s | x) [chunk, source] in float64, of so many words at a time."""
    for chunk in states.split(CHUNK):
        yield F.softmax(head_logits(head, chunk).double() / temperature, dim=1)


def find_word_temperature(
    section: CalibrateText, logits: Tensor, sub_words: Tensor
) -> TemperatureFit:
    """The temperature by the section's method: by masked-words the one of the highest likelihood of
    the words that were masked, which is the paper's way, for text brings its own source labels.

    Args:
        logits: [word, source] of masked words.
        sub_words: [word], what stood there.
    """
    if section.method == "fixed":
        return TemperatureFit(section.temperature, float("nan"), at_bound=False)
    return fit_temperature(logits, sub_words)


@dataclass(frozen=True)
class LearnedWords:
    """A relationship of types and words.

    Attributes:
        relationship: R [type, source] in float64, rows sum to 1.
        reduced: what was learned from the categories that are told apart; all others are one there.
        rest: of each type, the share [type] of its predictions that falls on these others.
    """

    relationship: Tensor
    reduced: Learned
    rest: Tensor


def learn_word_relationship(
    head: nn.Module,
    states: Mapping[str, EntityStates],
    types: int,
    temperature: float,
    section: FitWords,
) -> LearnedWords:
    """Learn R from the words of entities of train and validation.

    The direct way sums the predictions as they come and is exact. The classifier g of the reverse
    way, whose accuracy is a diagnostic of both, sees the `section.categories` words of the largest
    mass; all others are one category to it, so that they share one p(type | word), and R deals what
    it gives to that one out to them by their own mass. The classifier of the whole vocabulary is
    thereby held to equal weights for the others; with a penalty on weights those of rare words are
    small in any case. It sees MOST_WORDS of the words at most.

    Args:
        types: how many there are.

    Raises:
        ValueError: as fit_relationship.
    """
    by_type, counts = _totals(head, states, types, temperature)
    marginal = by_type.sum(dim=0) / counts.sum()
    kept = marginal.topk(min(section.categories, len(marginal))).indices.sort().values
    reduced = {
        split: _reduced(head, some_words(states[split], most), kept, temperature)
        for split, most in MOST_WORDS.items()
    }
    learned = learn_relationship(reduced, types, 1.0, section)
    if learned.direction == "direct":
        relationship = _direct(by_type, counts, learned.pseudo_samples)
    else:
        relationship = _whole(learned.relationship, kept, marginal)
    inside = by_type[:, kept].sum(dim=1) / counts
    return LearnedWords(relationship, learned, (1 - inside).clamp_min(0))


def direct_word_relationship(
    head: nn.Module,
    states: Mapping[str, EntityStates],
    types: int,
    temperature: float,
    pseudo_samples: float = 0.0,
) -> Tensor:
    """R [type, source] of the direct way alone, which needs no classifier.

    Args:
        states: of train and validation, together with an entity of each type.
        pseudo_samples: of the source marginal, as direct_relationship takes them.
    """
    return _direct(*_totals(head, states, types, temperature), pseudo_samples)


def _direct(by_type: Tensor, counts: Tensor, pseudo_samples: float) -> Tensor:
    prior = pseudo_samples * by_type.sum(dim=0) / counts.sum()
    return (by_type + prior) / (counts[:, None] + pseudo_samples)


def some_words(states: EntityStates, most: int) -> EntityStates:
    """About so many words at most, of all types."""
    if len(states.types) <= most:
        return states
    places = evenly_spread(states.types, most)
    return EntityStates(states.states[places], states.types[places], states.words[places])


def _totals(
    head: nn.Module, states: Mapping[str, EntityStates], types: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """Of each type the sum of its predictions [type, source], and how many they are [type]."""
    sums = [
        sums_by_type(head, states[split].states, states[split].types, types, temperature)
        for split in SPLITS
        if len(states[split].types)
    ]
    counts = torch.cat([states[split].types for split in SPLITS]).bincount(minlength=types)
    return torch.stack(sums).sum(dim=0), counts


def sums_by_type(
    head: nn.Module, states: Tensor, labels: Tensor, types: int, temperature: float
) -> Tensor:
    """Sum of the predictions of the words of each type, [type, source]."""
    total: Tensor | None = None
    chunks = probabilities_by_chunk(head, states, temperature)
    for probabilities, own in zip(chunks, labels.split(CHUNK), strict=True):
        part = F.one_hot(own, types).double().T @ probabilities
        total = part if total is None else total + part
    assert total is not None, "each split has entities"
    return total


def _reduced(
    head: nn.Module, states: EntityStates, kept: Tensor, temperature: float
) -> SplitLogits:
    """Log-probabilities of the kept categories and, as the last one, of all others if there are."""
    parts = []
    for probabilities in probabilities_by_chunk(head, states.states, temperature):
        inside = probabilities[:, kept]
        if len(kept) < probabilities.shape[1]:
            rest = probabilities.sum(dim=1) - inside.sum(dim=1)
            inside = torch.cat([inside, rest[:, None]], dim=1)
        parts.append(inside.clamp_min(torch.finfo(torch.float32).tiny).log().float())
    return SplitLogits(torch.cat(parts), states.types, states.words)


def _whole(reduced: Tensor, kept: Tensor, marginal: Tensor) -> Tensor:
    """R of all categories: what the last one of the reduced has is dealt out by their mass."""
    others = marginal.clone()
    others[kept] = 0
    relationship = reduced.new_zeros(len(reduced), len(marginal))
    if reduced.shape[1] > len(kept):
        relationship = reduced[:, -1:] * (others / others.sum().clamp_min(1e-300))
    relationship[:, kept] = reduced[:, : len(kept)]
    return relationship / relationship.sum(dim=1, keepdim=True)


def top_words(
    relationship: Tensor, types: Sequence[str], categories: Sequence[str], count: int
) -> list[tuple[str, int, str, float]]:
    """Of each type its most probable words: type, rank (from 1), word, probability."""
    top = relationship.topk(min(count, len(categories)), dim=1)
    return [
        (name, rank, categories[index], probability)
        for name, indices, values in zip(
            types, top.indices.tolist(), top.values.tolist(), strict=True
        )
        for rank, (index, probability) in enumerate(zip(indices, values, strict=True), 1)
    ]


def diagnose(learned: LearnedWords, types: Sequence[str]) -> dict[str, Any]:
    """Scores of the relationship and warnings, as JSON values; types by name."""
    reduced = learned.reduced
    knowledge, similar = reduced.knowledge, most_similar_rows(learned.relationship)
    found: dict[str, Any] = {
        "direction": reduced.direction,
        "pseudo_samples": reduced.pseudo_samples,
        "selection": reduced.selection,
        "knowledge": asdict(knowledge) if knowledge else None,
        "row_entropy": by_class(types, row_entropies(learned.relationship).tolist()),
        "most_similar_rows": {
            "first": types[similar.first],
            "second": types[similar.second],
            "cosine": similar.cosine,
        },
        "g_accuracy": reduced.classifier.validation_accuracy,
        "told_apart": reduced.relationship.shape[1],
        "rest": by_class(types, learned.rest.tolist()),
    }
    return found | {"warnings": _warnings(found)}


def _warnings(found: Mapping[str, Any]) -> list[str]:
    messages = []
    knowledge, similar = found["knowledge"], found["most_similar_rows"]
    if knowledge and knowledge["nats"] < CERTAIN * knowledge["standard_error"]:
        messages.append(
            "the relationship knows nothing of words that it was not learned from "
            f"({knowledge['nats']:+.2f} nats, standard error {knowledge['standard_error']:.2f}): "
            "Co-Tuning can hardly gain from it"
        )
    if similar["cosine"] >= SIMILAR_ROWS:
        messages.append(
            f"{similar['first']} and {similar['second']} have nearly the same row (cosine "
            f"{similar['cosine']:.3f}): the source head pulls them together"
        )
    return messages
