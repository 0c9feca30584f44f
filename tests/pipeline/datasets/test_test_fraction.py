"""A test split of all that is drawn for nothing else, and none at all."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.datasets.listing import ImageFolderReader, Listing
from pipeline.datasets.splits import build_manifest, drop_rows

class_sizes = st.lists(st.integers(1, 40), min_size=1, max_size=4)
seeds = st.integers(0, 2**32)
rates = st.floats(0.001, 0.999)
thorough = settings(deadline=None, max_examples=50)


def listing_of(**sizes: list[int]) -> Listing:
    """Samples of each split, so many of class a, b, ...; `unsplit` stands for no split."""
    samples = [
        (split.replace("unsplit", ""), "abcde"[label], f"{split}/{label}/{index:03}")
        for split, counts in sizes.items()
        for label, size in enumerate(counts)
        for index in range(size)
    ]
    frame = pd.DataFrame(samples, columns=["split", "class_name", "path"])
    classes = tuple("abcde"[: max(map(len, sizes.values()))])
    return Listing(frame, classes, ImageFolderReader(Path()))


def manifest_of(listing: Listing, test_fraction: float | None, **options: Any) -> pd.DataFrame:
    defaults = {"images_per_class": None, "val_fraction": 0.2, "test_limit": None, "seed": 0}
    return build_manifest(listing, test_fraction=test_fraction, **(defaults | options))


def paths(manifest: pd.DataFrame, *splits: str) -> set[str]:
    return set(manifest.loc[manifest["split"].isin(splits), "path"])


def counts(manifest: pd.DataFrame, *splits: str) -> dict[int, int]:
    return dict(Counter(manifest.loc[manifest["split"].isin(splits), "label"]))


@thorough
@given(class_sizes, st.integers(2, 45), seeds)
def test_the_images_that_are_not_drawn_are_the_test_split(
    sizes: list[int], per_class: int, seed: int
) -> None:
    sizes = [*sizes, 50]
    listing = listing_of(unsplit=sizes)
    manifest = manifest_of(listing, None, images_per_class=per_class, seed=seed)
    assert sorted(manifest["path"]) == sorted(listing.samples["path"])
    for label, size in enumerate(sizes):
        drawn = counts(manifest, "train", "validation")[label]
        assert drawn == min(per_class, size - 1 if size >= 3 else size)


@thorough
@given(class_sizes, rates, seeds)
def test_a_sampling_rate_leaves_the_rest_of_each_class(
    sizes: list[int], rate: float, seed: int
) -> None:
    sizes = [*sizes, 50]
    listing = listing_of(unsplit=sizes)
    manifest = manifest_of(listing, None, sampling_rate=rate, seed=seed)
    assert sorted(manifest["path"]) == sorted(listing.samples["path"])
    for label, size in enumerate(sizes):
        drawn = counts(manifest, "train", "validation")[label]
        assert abs(drawn - size * rate) <= 0.5 or drawn in (min(size, 2), size - 1)
        assert (drawn < size) == (size >= 3)


@thorough
@given(class_sizes, st.integers(2, 45), st.none() | st.integers(1, 60), seeds, st.randoms())
def test_the_order_of_the_listing_has_no_influence(
    sizes: list[int], per_class: int, limit: int | None, seed: int, random: Any
) -> None:
    listing = listing_of(unsplit=[*sizes, 50])
    order = list(range(len(listing.samples)))
    random.shuffle(order)
    shuffled = Listing(listing.samples.iloc[order], listing.classes, listing.read)
    options = {"images_per_class": per_class, "test_limit": limit, "seed": seed}
    pd.testing.assert_frame_equal(
        manifest_of(listing, None, **options), manifest_of(shuffled, None, **options)
    )


@thorough
@given(class_sizes, st.integers(2, 45), st.integers(0, 40), seeds)
def test_a_larger_draw_takes_its_further_images_from_the_test_split(
    sizes: list[int], per_class: int, more: int, seed: int
) -> None:
    listing = listing_of(unsplit=[*sizes, 100])
    small, large = (
        manifest_of(listing, None, images_per_class=count, seed=seed)
        for count in (per_class, per_class + more)
    )
    assert paths(small, "train") <= paths(large, "train")
    assert paths(small, "validation") <= paths(large, "validation")
    assert paths(large, "test") <= paths(small, "test")


def test_another_seed_draws_others() -> None:
    listing = listing_of(unsplit=[40, 40])
    one, other = (manifest_of(listing, None, images_per_class=5, seed=seed) for seed in (1, 2))
    assert paths(one, "train") != paths(other, "train")
    assert paths(one, "test") != paths(other, "test")


def test_few_images_of_a_class_are_drawn_before_any_is_tested() -> None:
    manifest = manifest_of(listing_of(unsplit=[1, 2, 3, 9]), None, images_per_class=5)
    assert counts(manifest, "train") == {0: 1, 1: 1, 2: 1, 3: 4}
    assert counts(manifest, "validation") == {1: 1, 2: 1, 3: 1}
    assert counts(manifest, "test") == {2: 1, 3: 4}


def test_a_test_split_without_any_image_is_refused() -> None:
    with pytest.raises(UserError, match=r"^the test split is empty; .* three or more images"):
        manifest_of(listing_of(unsplit=[2, 2]), None, images_per_class=5)


@pytest.mark.parametrize("test_fraction", [None, 0])
def test_a_published_test_split_is_kept_and_nothing_added(test_fraction: float | None) -> None:
    listing = listing_of(train=[10, 20], test=[3, 4])
    manifest = manifest_of(listing, test_fraction, images_per_class=5)
    assert counts(manifest, "train", "validation") == {0: 5, 1: 5}
    assert paths(manifest, "test") == set(
        listing.samples.loc[listing.samples["split"] == "test", "path"]
    )


def test_a_published_validation_split_leaves_all_that_is_drawn_to_training() -> None:
    listing = listing_of(train=[10, 20], validation=[3, 4])
    manifest = manifest_of(listing, None, images_per_class=5)
    assert counts(manifest, "train") == {0: 5, 1: 5}
    assert counts(manifest, "validation") == {0: 3, 1: 4}
    assert counts(manifest, "test") == {0: 5, 1: 15}


def test_a_pool_has_no_test_split() -> None:
    manifest = manifest_of(listing_of(unsplit=[1, 2, 30]), 0)
    assert counts(manifest, "train", "validation") == {0: 1, 1: 2, 2: 30}
    assert counts(manifest, "test") == {}


def test_an_image_of_a_pool_can_be_left_out() -> None:
    manifest = manifest_of(listing_of(unsplit=[10, 10]), 0)
    kept = drop_rows(manifest, [3], ["a", "b"])
    assert list(kept["path"]) == list(manifest["path"].drop(3))


def test_a_pool_without_validation_images_is_refused() -> None:
    with pytest.raises(UserError, match=r"^the validation split is empty"):
        manifest_of(listing_of(unsplit=[1, 1]), 0)
