"""Schemes of tags: what is converted, what is refused and where."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.language.tag_schemes import TagError, as_iob2, tags_of, type_labels, types_of

ENTITY = st.tuples(st.sampled_from(["LOC", "geo-loc", "PER"]), st.integers(1, 3))
SENTENCE = st.lists(st.one_of(st.none(), ENTITY), min_size=1, max_size=8)


def in_iob2(parts):
    tags = []
    for part in parts:
        name, length = part or ("", 1)
        tags += [f"B-{name}", *[f"I-{name}"] * (length - 1)] if part else ["O"]
    return tags


def in_iob1(parts):
    """By its definition: B- only right after an entity of the same type."""
    tags, before = [], None
    for part in parts:
        if part is None:
            tags.append("O")
        else:
            name, length = part
            first = f"B-{name}" if before and before[0] == name else f"I-{name}"
            tags += [first, *[f"I-{name}"] * (length - 1)]
        before = part
    return tags


@given(SENTENCE)
def test_both_schemes_become_the_same_tags(parts):
    assert list(as_iob2(in_iob1(parts), "iob1")) == in_iob2(parts)
    assert list(as_iob2(in_iob2(parts), "iob2")) == in_iob2(parts)


@pytest.mark.parametrize(
    ("tags", "scheme", "position", "message"),
    [
        (["O", "I-LOC"], "iob2", 1, "I-LOC follows O, .* begins with B-LOC.* iob1"),
        (["B-PER", "I-LOC"], "iob2", 1, "I-LOC follows B-PER"),
        (["B-LOC"], "iob1", 0, "B-LOC follows O, but IOB1 .* iob2"),
        (["I-PER", "B-LOC"], "iob1", 1, "B-LOC follows I-PER"),
        (["O", "S-LOC"], "iob2", 1, "'S-LOC' is no tag; expected O, B-<type> or I-<type>"),
        (["B-"], "iob2", 0, "'B-' is no tag"),
        (["o"], "iob1", 0, "'o' is no tag"),
    ],
)
def test_a_tag_that_breaks_the_scheme_is_named(tags, scheme, position, message):
    with pytest.raises(TagError, match=message) as caught:
        as_iob2(tags, scheme)
    assert caught.value.position == position


def test_labels_of_b_and_i_are_of_one_type():
    tags = tags_of(["LOC", "PER"])
    assert tags == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert types_of(tags) == ["LOC", "PER"]
    assert type_labels(torch.arange(5)).tolist() == [-1, 0, 0, 1, 1]
