"""Words on which masked language models are compared, and their scores."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_language import make_model, make_tokenizer, write_conll

from pipeline.common.errors import UserError
from pipeline.cotuning.diagnostics import leep_score, nce_score
from pipeline.language import ranking
from pipeline.language.artifacts import PreparedText
from pipeline.language.batches import TokenSet
from pipeline.language.extraction import FEWEST_WORDS
from pipeline.language.inference import predict_words
from pipeline.language.learning import head_logits
from pipeline.language.listing import Sentence
from pipeline.language.ranking import sample_words, sampled_states, vocabulary_scores
from pipeline.language.readers.registry import list_text
from pipeline.language.source import cut_language_model
from pipeline.language.tokens import tokenise
from pipeline.training.compute import Compute

CPU = Compute(torch.device("cpu"), torch.float32)


def prepare(sentences: list[Sentence], tags: list[str], test: int) -> PreparedText:
    """Every fourth sentence is for validation, the last ones are for the test."""
    tokenizer = make_tokenizer()
    splits = np.where(np.arange(len(sentences)) % 4 == 3, "validation", "train").astype(object)
    splits[len(splits) - test :] = "test"
    manifest = pd.DataFrame({"row": range(len(sentences)), "split": splits})
    store = tokenise(sentences, tags, tokenizer, 9)
    marks = tokenizer.pad_token_id, tokenizer.mask_token_id
    return PreparedText(manifest, tags, sentences, store, *marks)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedText:
    folder = write_conll(tmp_path_factory.mktemp("text"), {"train.txt": 50})
    listing = list_text("conll", folder, "iob2")
    return prepare(list(listing.sentences), listing.tags, 10)


def test_a_sample_has_as_many_words_outside_as_of_entities(
    prepared: PreparedText, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tagged(number: int) -> str:
        return sample.sentences[sample.owners[number]].tags[sample.places[number]]

    monkeypatch.setattr(ranking, "MOST_WORDS", 30)
    sample = sample_words(prepared)
    counts = sample.labels.bincount(minlength=4).tolist()
    every = [tag for one in prepared.sentences[:40] for tag in one.tags]
    of_types = [sum(tag.endswith(name) for tag in every) for name in prepared.types]
    assert sum(of_types) > 30
    assert counts[1:] == [min(count, FEWEST_WORDS) for count in of_types]
    assert counts[0] == min(sum(counts[1:]), every.count("O"))
    names = ("O", *prepared.types)
    for number, label in enumerate(sample.labels.tolist()):
        assert tagged(number).rpartition("-")[2] == names[label]
    keys = list(zip(sample.owners.tolist(), sample.places.tolist(), strict=True))
    assert keys == sorted(set(keys))
    assert not {one.lines for one in sample.sentences} & {
        one.lines for one in prepared.sentences[40:]
    }


def test_no_sentence_is_on_both_sides_of_a_fold(prepared: PreparedText) -> None:
    sample = sample_words(prepared)
    folds = sample.folds()
    assert len(folds) == 5
    held_out = torch.cat([out for _, out in folds])
    assert len(held_out.unique()) == len(held_out)
    for kept, out in folds:
        assert sorted([*kept.tolist(), *out.tolist()]) == list(range(len(sample.labels)))
        assert not set(sample.owners[kept].tolist()) & set(sample.owners[out].tolist())
        assert set(sample.labels[kept].tolist()) == {0, 1, 2, 3}


def test_too_few_sentences_are_refused(prepared: PreparedText) -> None:
    two = prepare(
        [
            Sentence(("Rome", "it"), ("B-LOC", "O"), "a", (1,)),
            Sentence(("Ann", "Acme", "it"), ("B-PER", "B-ORG", "O"), "a", (2,)),
        ],
        prepared.tags,
        0,
    )
    with pytest.raises(UserError, match=r"too few to hold some out; raise prepare_data.sentences"):
        sample_words(replace(two, manifest=two.manifest.assign(split="train")))


def test_states_are_those_of_the_words_whatever_order_the_parts_come_in() -> None:
    tags = ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
    sentences = [
        Sentence(("in", "Rome", "it", "rains"), ("O", "B-LOC", "O", "O"), "a", (1,)),
        # The tokenizer makes nothing of the first word; the sentence enters in parts.
        Sentence(("\u200b", *["they"] * 8, "Acme"), ("B-ORG", *["O"] * 8, "B-ORG"), "a", (2,)),
        Sentence(("Paris", "sleeps"), ("B-LOC", "O"), "a", (3,)),
    ] * 2
    sample = sample_words(prepare(sentences, tags, 0))
    backbone = cut_language_model(make_model(), "tiny", ()).backbone
    store = tokenise(sample.sentences, sample.tags, make_tokenizer(), 9)
    assert len(store.sentences) > len(sample.sentences)
    backwards = TokenSet(store, torch.arange(len(store.sentences)).flip(0), 0)
    states = sampled_states(backbone, backwards, sample, 2, CPU)
    forwards = TokenSet(store, torch.arange(len(store.sentences)), 0)
    every = predict_words(backbone, forwards, 1, CPU)
    owners = forwards.word_sentences.tolist()
    found = dict(zip(zip(owners, store.words.tolist(), strict=True), every, strict=True))
    lacking = 0
    for state, owner, place in zip(states, sample.owners, sample.places, strict=True):
        key = int(owner), int(place)
        lacking += key not in found
        torch.testing.assert_close(state, found.get(key, torch.zeros(16)), atol=1e-5, rtol=0)
    assert lacking == 2


def test_scores_of_the_vocabulary_are_those_of_all_predictions_at_once() -> None:
    head = cut_language_model(make_model(), "tiny", ()).head
    generator = torch.Generator().manual_seed(0)
    states = 2 * torch.randn(600, 16, generator=generator)
    types = torch.randint(0, 3, (600,), generator=generator)
    states[torch.arange(600), types] += 3
    leep, nce = vocabulary_scores(head, states, types, 3)
    probabilities = head_logits(head, states).double().softmax(dim=1)
    assert leep == pytest.approx(leep_score(probabilities, types, 3), abs=1e-9)
    assert nce == pytest.approx(nce_score(probabilities, types, 3), abs=1e-9)
    assert leep != pytest.approx(nce, abs=0.01)
