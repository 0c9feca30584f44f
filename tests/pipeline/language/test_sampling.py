"""Draws of sentences: published splits kept, seeded, smaller draws within larger ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.language.listing import Sentence, TextListing
from pipeline.language.sampling import draw_sentences
from pipeline.params.language_sections import PrepareText


def listing(splits):
    both = Sentence(("Ann", "Rome"), ("B-PER", "B-LOC"), "x.txt", (1, 2))
    return TextListing([both] * len(splits), splits, ("LOC", "PER"))


def drawn(splits, seed=0, **options):
    manifest = draw_sentences(listing(splits), PrepareText(source="columns", **options), seed)
    return {name: set(part["row"]) for name, part in manifest.groupby("split")}


PUBLISHED = ["train"] * 50 + ["validation"] * 10 + ["test"] * 20


def test_published_splits_are_kept_and_only_training_is_drawn():
    found = drawn(PUBLISHED, sentences=12)
    assert found["validation"] == set(range(50, 60))
    assert found["test"] == set(range(60, 80))
    assert len(found["train"]) == 12
    assert found["train"] <= set(range(50))
    assert len(drawn(PUBLISHED, sampling_rate=0.31)["train"]) == 16
    assert len(drawn(PUBLISHED, test_limit=7)["test"]) == 7


@given(seed=st.integers(0, 99), small=st.integers(10, 60), more=st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_larger_draw_holds_a_smaller_one_split_by_split(seed, small, more):
    first, second = (drawn([""] * 200, seed, sentences=n) for n in (small, small + more))
    assert all(first[split] <= second[split] for split in ("train", "validation"))
    assert first["test"] == second["test"]
    assert sum(map(len, first.values())) == len(set().union(*first.values()))
    assert len(first["test"]) == 40
    assert len(first["train"] | first["validation"]) == small


def test_another_seed_draws_others_and_the_same_the_same():
    assert drawn([""] * 200, 1) == drawn([""] * 200, 1) != drawn([""] * 200, 2)


def test_a_type_without_a_training_sentence_is_named():
    sentences = [Sentence(("Rome",), ("B-LOC",), "x.txt", (1,))] * 30
    rare = Sentence(("Ann",), ("B-PER",), "x.txt", (1,))
    text = TextListing([*sentences, rare], ["train"] * 30 + ["test"], ("LOC", "PER"))
    with pytest.raises(UserError, match="train sentences have no entity of type PER; draw more"):
        draw_sentences(text, PrepareText(source="columns"), 0)


def test_a_split_that_is_left_empty_is_refused():
    with pytest.raises(UserError, match="no sentence is left for validation of 80"):
        drawn(["train"] * 60 + ["test"] * 20, sentences=3)


def test_the_share_that_is_held_out_is_that_which_was_asked_for():
    found = drawn([""] * 1000, val_fraction=0.25, test_fraction=0.1)
    sizes = np.array([len(found[split]) for split in ("train", "validation", "test")])
    assert sizes.tolist() == [675, 225, 100]


def test_a_rare_type_is_in_training_however_few_are_drawn():
    common = Sentence(("Rome", "Oslo"), ("B-LOC", "O"), "x.txt", (1,))
    rare = Sentence(("Ann",), ("B-PER",), "x.txt", (1,))
    sentences = [rare if number in (17, 130) else common for number in range(200)]
    text = TextListing(sentences, [""] * 200, ("LOC", "PER"))
    for seed in range(20):
        section = PrepareText(source="columns", sentences=10, test_fraction=0.1)
        manifest = draw_sentences(text, section, seed)
        assert len(manifest[manifest["split"] != "test"]) == 10
        train = manifest.loc[manifest["split"] == "train", "row"]
        assert {17, 130} & set(train)
