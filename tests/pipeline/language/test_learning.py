"""States of entities and what is learned from them, against the whole logits where they fit."""

import random

import pytest
import torch
import torch.nn.functional as F
from tiny_language import VOCABULARY, draw_sentence, make_model, make_tokenizer

from pipeline.artifacts import SplitLogits
from pipeline.cotuning.relationship import fit_relationship
from pipeline.language import learning
from pipeline.language.batches import TokenSet
from pipeline.language.extraction import EntityStates, entity_states, some_masked_words
from pipeline.language.learning import (
    diagnose,
    find_word_temperature,
    head_logits,
    learn_word_relationship,
    some_words,
    top_words,
)
from pipeline.language.listing import Sentence
from pipeline.language.source import cut_language_model
from pipeline.language.tag_schemes import tags_of
from pipeline.language.tokens import tokenise
from pipeline.params.language_sections import CalibrateText, FitWords
from pipeline.sources.from_logits import learn_relationship
from pipeline.training.compute import Compute

CPU = Compute(torch.device("cpu"), torch.float32)
TYPES = ["LOC", "ORG", "PER"]
MASK = VOCABULARY.index("[MASK]")


@pytest.fixture(scope="module")
def source():
    return cut_language_model(make_model(), "hf:tiny", VOCABULARY)


@pytest.fixture(scope="module")
def tokens():
    rng = random.Random(0)
    drawn = [draw_sentence(rng) for _ in range(60)]
    sentences = [Sentence(*zip(*one, strict=True), "x.txt", (1,)) for one in drawn]
    store = tokenise(sentences, tags_of(TYPES), make_tokenizer(), longest=16)
    return TokenSet(store, torch.arange(60), pad=0)


def states(source, part, observed="kept"):
    return entity_states(source.backbone, part, observed, MASK, 7, CPU)


@torch.inference_mode()
def one_by_one(source, tokens, masked):
    """Of each entity word the model's own logits, sentence by sentence, with nothing filled up."""
    model = make_model()
    found = []
    for part in tokens.parts.tolist():
        inputs, labels = TokenSet(tokens.store, torch.tensor([part]), 0).inputs()
        start = int(tokens.store.word_starts[part])
        for word in labels.nonzero()[:, 0].tolist():
            ids, place = inputs.input_ids.clone(), int(inputs.places[word])
            if masked:
                ids[0, place : place + int(tokens.store.lengths[start + word])] = MASK
            found.append(model(input_ids=ids).logits[0, place])
    return torch.stack(found)


@pytest.mark.parametrize("observed", ["kept", "masked"])
def test_the_head_makes_the_models_own_logits_of_the_states(source, tokens, observed):
    found = states(source, tokens, observed)
    expected = one_by_one(source, tokens, observed == "masked")
    torch.testing.assert_close(head_logits(source.head, found.states), expected)
    assert found.types.tolist() == [(label - 1) // 2 for label in tokens.labels.tolist() if label]
    assert found.words.equal(tokens.word_places[tokens.labels > 0])


def test_masked_words_know_what_stood_there(source, tokens):
    masked = some_masked_words(source.backbone, tokens, 50, MASK, 7, CPU)
    assert len(masked.sub_words) == 50
    words = tokens.word_places[torch.linspace(0, len(tokens.labels) - 1, 50).round().long()]
    texts = [VOCABULARY[number] for number in masked.sub_words.tolist()]
    parts = torch.searchsorted(tokens.store.word_starts, words, right=True) - 1
    starts = tokens.store.starts[parts]
    known = tokens.store.sub_words[starts + tokens.store.places[words]]
    assert texts == [VOCABULARY[number] for number in known.tolist()]
    assert "Glo" in texts
    every = some_masked_words(source.backbone, tokens, 10_000, MASK, 32, CPU)
    entities = states(source, tokens, "masked")
    torch.testing.assert_close(every.states[tokens.labels > 0], entities.states)


def test_the_temperature_is_that_of_the_highest_likelihood_of_masked_words():
    generator = torch.Generator().manual_seed(0)
    calibrated = 2 * torch.randn(4000, 12, generator=generator)
    words = torch.multinomial(calibrated.softmax(dim=1), 1, generator=generator)[:, 0]
    found = find_word_temperature(CalibrateText(), 3 * calibrated, words)
    assert found.temperature == pytest.approx(3, rel=0.05)
    fixed = find_word_temperature(CalibrateText(method="fixed", temperature=2.5), calibrated, words)
    assert fixed.temperature == 2.5


class Head(torch.nn.Module):
    """Logits of 300 words, more than a chunk of states, of which 40 have nearly all mass."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(300, 8, generator=generator)
        self.bias = torch.where(torch.arange(300) % 300 < 40, 4.0, -1.0)

    def forward(self, states):
        return F.linear(states, self.weight, self.bias)


def clusters(count, seed):
    generator = torch.Generator().manual_seed(seed)
    types = torch.randint(0, 3, (count,), generator=generator)
    centres = torch.eye(8)[:3] * 2
    noise = torch.randn(count, 8, generator=generator)
    return EntityStates(centres[types] + noise, types, torch.arange(count))


SPLITS = {"train": clusters(700, 1), "validation": clusters(200, 2)}


def whole(**options):
    """R from all logits at once."""
    head = Head()
    parts = [part for split in SPLITS.values() for part in (head(split.states), split.types)]
    return fit_relationship(*parts, 3, temperature=1.5, **options)


@pytest.mark.parametrize("pseudo_samples", [0.0, 5.0])
def test_the_direct_way_is_exact_however_few_words_are_told_apart(pseudo_samples):
    section = FitWords(categories=20, pseudo_samples=pseudo_samples)
    found = learn_word_relationship(Head(), SPLITS, 3, 1.5, section)
    expected, _ = whole(direction="direct", pseudo_samples=pseudo_samples)
    torch.testing.assert_close(found.relationship, expected, rtol=1e-9, atol=1e-12)
    assert found.reduced.relationship.shape == (3, 21)


def distance(first, second):
    """Largest total variation of a row."""
    return float((first - second).abs().sum(dim=1).max() / 2)


def test_the_reverse_way_is_that_of_all_words_where_all_are_told_apart():
    expected, classifier = whole(direction="reverse")
    section = FitWords(direction="reverse", categories=300)
    found = learn_word_relationship(Head(), SPLITS, 3, 1.5, section)
    assert distance(found.relationship, expected) < 1e-4
    assert found.rest.tolist() == [0, 0, 0]
    assert found.reduced.classifier.validation_accuracy == classifier.validation_accuracy


def test_what_the_reverse_way_loses_falls_with_the_words_told_apart():
    """Measured where the whole fits; the figures are in docs/language.md."""
    expected, classifier = whole(direction="reverse")
    lost, rest = [], []
    for categories in (10, 40, 150):
        section = FitWords(direction="reverse", categories=categories)
        found = learn_word_relationship(Head(), SPLITS, 3, 1.5, section)
        torch.testing.assert_close(found.relationship.sum(dim=1), torch.ones(3).double())
        lost.append(distance(found.relationship, expected))
        rest.append(float(found.rest.mean()))
        accuracy = found.reduced.classifier.validation_accuracy
        assert abs(accuracy - classifier.validation_accuracy) <= 0.05
    assert lost[0] > lost[1] > lost[2]
    assert rest[0] > rest[1] > rest[2]
    assert lost[2] < 0.2


def test_of_many_words_g_sees_some_of_each_type_and_direct_all(monkeypatch):
    many = SPLITS["train"]
    rare = EntityStates(many.states, many.types.where(many.words > 5, 3), many.words)
    some = some_words(rare, 300)
    assert 300 <= len(some.types) <= 310
    assert (some.types == 3).sum() == (rare.types == 3).sum()
    assert some.states.equal(rare.states[some.words])
    assert some_words(rare, 700) is rare
    expected, _ = whole(direction="direct")
    monkeypatch.setitem(learning.MOST_WORDS, "train", 300)
    found = learn_word_relationship(Head(), SPLITS, 3, 1.5, FitWords(categories=20))
    torch.testing.assert_close(found.relationship, expected, rtol=1e-9, atol=1e-12)


def test_knowledge_and_words_of_types_are_told():
    found = learn_word_relationship(Head(), SPLITS, 3, 1.5, FitWords(categories=300))
    told = diagnose(found, TYPES)
    logits = {
        name: SplitLogits(Head()(split.states), split.types, split.words)
        for name, split in SPLITS.items()
    }
    expected = learn_relationship(logits, 3, 1.5, FitWords()).knowledge
    assert expected is not None
    assert told["knowledge"]["nats"] == pytest.approx(expected.nats, rel=1e-3)
    assert told["warnings"] == []
    words = top_words(found.relationship, TYPES, [str(n) for n in range(300)], 2)
    best = found.relationship.argmax(dim=1).tolist()
    assert [row[2] for row in words if row[1] == 1] == [str(number) for number in best]
    same = learn_word_relationship(torch.nn.Linear(8, 9), SPLITS, 3, 1000.0, FitWords())
    assert "nearly the same row" in diagnose(same, TYPES)["warnings"][-1]
