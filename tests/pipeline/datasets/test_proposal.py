"""The params that are proposed are ones that stages accept, whatever is in the folder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.datasets.inspection import Seen
from pipeline.datasets.proposal import (
    Machine,
    Model,
    as_overlay,
    propose,
    training_images,
    warnings,
)
from pipeline.datasets.repeats import Repeats
from pipeline.params import Params

LITE0 = Model("efficientnet-lite0", 224, 0.875, halves=True)
ROOMY = Machine(has_gpu=False, processes=1, free=10**12)


def seen(*counts: int, **others: int) -> Seen:
    names = {f"class {place}": count for place, count in enumerate(counts)}
    return Seen(
        names, **{"validation": None, "test": None, "broken": 0, "median_side": 500} | others
    )


@given(
    st.lists(st.integers(3, 5000), min_size=2, max_size=30),
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from([None, 50]),
    st.sampled_from([None, 70]),
)
def test_what_is_proposed_is_valid_and_leaves_images_in_every_split(
    counts: list[int], has_gpu: bool, processes: int, validation: int | None, test: int | None
) -> None:
    found = seen(*counts, validation=validation, test=test)
    machine = Machine(has_gpu, processes, 10**12)
    choices = propose(found, "photos", LITE0, machine)
    assert all(choice.why for choice in choices)
    overlay = as_overlay(choices)
    values = Params.model_validate({name: overlay[name] for name in overlay}, strict=False)
    assert values.fine_tune.batch_size % processes == 0
    train, held_out = training_images(found)
    assert train >= len(counts)
    assert held_out >= (validation or len(counts))
    assert train + held_out <= sum(counts) + (validation or 0)


def test_a_class_without_enough_images_is_named() -> None:
    with pytest.raises(UserError, match=r"too few readable images of class 1 \(2\); expected 3"):
        propose(seen(9, 2), "photos", LITE0, ROOMY)


def test_half_the_published_size_is_for_cpus() -> None:
    sizes = {}
    for has_gpu in (False, True):
        choices = propose(seen(50, 50), "photos", LITE0, Machine(has_gpu, 1, 10**12))
        values = as_overlay(choices)
        sizes[has_gpu] = values["source_model"]["input_size"], values["prepare_data"]["stored_size"]
    assert sizes == {False: (112, 128), True: (224, 256)}


def test_a_small_disk_gets_smaller_squares_or_a_refusal() -> None:
    free = 2 * 3 * 5000 * 120 * 120
    values = as_overlay(propose(seen(2500, 2500), "x", LITE0, Machine(False, 1, free)))
    assert values["prepare_data"]["stored_size"] == 120
    with pytest.raises(UserError, match="make room"):
        propose(seen(2500, 2500), "x", LITE0, Machine(False, 1, free // 4))


def test_warnings_name_what_repeats_and_what_is_uneven() -> None:
    repeats = Repeats((("train/a.png", "test/b.png"),), (("cat/a.png", "dog/c.png"),), ())
    lines = warnings(seen(100, 5), repeats, {"grey-scale": 3})
    assert lines[0].startswith("equal files are in several splits (1)")
    assert "train/a.png = test/b.png" in lines[0]
    assert "one of the labels is wrong" in lines[1]
    assert "20 times the images of the smallest, class 1 (5)" in lines[2]
    assert "3 of 105 images are grey-scale" in lines[3]
