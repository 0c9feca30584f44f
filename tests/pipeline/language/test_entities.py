"""Entities as conlleval counts them, on its traps; intervals and differences."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.language.entities import (
    count_entities,
    f1_difference,
    mean_scores,
    score_intervals,
    strict_scores,
)

TYPES = ["LOC", "ORG", "PER"]
# True tags, predicted tags: of one sentence, or of several with | between them.
CASES = [
    ("O O", "O O"),
    ("B-LOC", "B-LOC"),
    ("B-LOC", "O"),
    ("O", "B-LOC"),
    ("B-LOC I-LOC", "B-LOC I-LOC"),
    ("B-LOC I-LOC", "B-LOC O"),
    ("B-LOC I-LOC", "B-LOC B-LOC"),
    ("B-LOC B-LOC", "B-LOC I-LOC"),
    ("B-LOC I-LOC", "I-LOC I-LOC"),
    ("B-LOC", "I-LOC"),
    ("B-LOC O", "I-PER O"),
    ("B-LOC I-LOC", "B-LOC I-PER"),
    ("B-LOC B-PER", "B-LOC I-PER"),
    ("O B-LOC I-LOC O", "B-LOC I-LOC I-LOC O"),
    ("B-LOC O B-LOC", "B-LOC I-LOC I-LOC"),
    ("B-PER I-PER I-PER", "B-PER I-PER B-PER"),
    ("B-LOC | B-LOC", "B-LOC | I-LOC"),
    ("O B-LOC | B-LOC", "O B-LOC | O"),
    ("B-ORG I-ORG B-ORG O", "I-ORG I-ORG I-ORG I-ORG"),
    ("B-LOC I-LOC O B-PER | B-ORG", "B-LOC I-LOC O B-ORG | B-ORG"),
    ("O I-LOC B-LOC", "O I-LOC B-LOC"),
]


def conlleval(true, predicted):
    """Right, predicted and true entities, by the script's own rules: tag by tag, with two flags.

    Source: the rules endOfChunk, startOfChunk of conlleval, written anew from their description in
    the CoNLL-2000 shared task; a sentence ends as by a tag O.
    """

    def split(tag):
        return ("O", "") if tag == "O" else tuple(tag.split("-", 1))

    def ends(before, tag):
        (kind, name), (next_kind, next_name) = before, tag
        return kind != "O" and (next_kind in "BO" or name != next_name)

    def starts(before, tag):
        (kind, name), (next_kind, next_name) = before, tag
        return next_kind != "O" and (next_kind == "B" or kind == "O" or name != next_name)

    right = found = given = 0
    stretched = [[split(t) for s in tags for t in [*s, "O"]] for tags in (true, predicted)]
    pairs = [(("O", ""),) * 2, *zip(*stretched, strict=True)]
    open_and_right = False
    for (true_before, found_before), (true_now, found_now) in pairwise(pairs):
        both_end = ends(true_before, true_now) and ends(found_before, found_now)
        one_ends = ends(true_before, true_now) != ends(found_before, found_now)
        if open_and_right and both_end and true_before[1] == found_before[1]:
            right, open_and_right = right + 1, False
        elif open_and_right and (one_ends or true_now[1] != found_now[1]):
            open_and_right = False
        both_start = starts(true_before, true_now) and starts(found_before, found_now)
        if both_start and true_now[1] == found_now[1]:
            open_and_right = True
        given += starts(true_before, true_now)
        found += starts(found_before, found_now)
    return right, found, given


def tags(text):
    return [sentence.split() for sentence in text.split("|")]


@pytest.mark.parametrize(("true", "predicted"), CASES)
def test_entities_are_counted_as_conlleval_does(true, predicted):
    counted = count_entities(tags(true), tags(predicted), TYPES)
    right, found, given = conlleval(tags(true), tags(predicted))
    assert counted.counts.sum(axis=(1, 2)).tolist() == [right, found, given]
    scores = counted.scores()
    assert scores["precision"] == (right / found if found else 0)
    assert scores["recall"] == (right / given if given else 0)
    assert scores["f1"] == pytest.approx(2 * right / (found + given) if right else 0)


def test_random_tags_are_counted_as_conlleval_does():
    rng = np.random.default_rng(0)
    known = ["O", *(f"{kind}-{name}" for name in TYPES for kind in "BI")]
    draws = [[rng.choice(known, size=6).tolist() for _ in range(200)] for _ in range(2)]
    total = count_entities(*draws, TYPES).counts.sum(axis=(1, 2))
    assert total.tolist() == list(conlleval(*draws))


@pytest.mark.parametrize(
    ("true", "predicted", "f1"),
    [("B-LOC", "I-LOC", 0), ("B-LOC I-LOC", "I-LOC I-LOC", 0), ("B-LOC O", "B-LOC O", 1),
     ("B-LOC B-PER", "B-LOC I-PER", 2 / 3)],
)  # fmt: skip
def test_strictly_an_entity_begins_with_b(true, predicted, f1):
    assert strict_scores(tags(true), tags(predicted))["f1"] == pytest.approx(f1)


def test_scores_of_each_type_by_name():
    counted = count_entities(
        tags("B-LOC O B-PER | B-LOC O O"), tags("B-LOC O O | O O B-ORG"), TYPES
    )
    found = counted.by_type(TYPES)
    of_places = {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3), "entities": 2}
    assert found["LOC"] == of_places
    assert found["ORG"] == {"precision": 0, "recall": 0, "f1": 0, "entities": 0}
    assert found["PER"]["recall"] == 0


def drawn(seed, right, count=400):
    """Sentences of one entity each, found with a probability."""
    rng = np.random.default_rng(seed)
    predicted = np.where(rng.random(count) < right, "B-LOC", "O")
    return count_entities([["B-LOC"]] * count, [[tag] for tag in predicted], TYPES)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Recall is a share of independent sentences, whose 95% interval is known."""
    counted = drawn(0, 0.6)
    recall = counted.scores()["recall"]
    low, high = score_intervals([counted], 2000, 0)["recall"]
    error = (recall * (1 - recall) / 400) ** 0.5
    assert low == pytest.approx(recall - 1.96 * error, abs=0.006)
    assert high == pytest.approx(recall + 1.96 * error, abs=0.006)


def test_a_difference_is_paired_by_sentence_and_sample():
    first = [drawn(seed, 0.5) for seed in (0, 1)]
    second = [drawn(seed, 0.6) for seed in (0, 1)]  # finds what the first finds, and more
    found = f1_difference(first, second, 1000, 0)
    gains = [b.scores()["f1"] - a.scores()["f1"] for a, b in zip(first, second, strict=True)]
    assert found.by_sample == tuple(gains)
    assert found.difference == pytest.approx(np.mean(gains))
    assert found.exceeds_noise
    assert found.sentences == 800
    unpaired = [score_intervals([one], 1000, 0)["f1"] for one in (first[0], second[0])]
    assert found.high - found.low < sum(high - low for low, high in unpaired)
    same = f1_difference(first, first, 100, 0)
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert mean_scores(first)["f1"] == pytest.approx(np.mean([one.scores()["f1"] for one in first]))
    with pytest.raises(ValueError, match="other sentences"):
        f1_difference(first, [drawn(0, 0.5, 399), second[1]], 100, 0)
