"""The share of each class's training images that prepare_data.sampling_rate keeps."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.readers.registry import ImageFolderReader, Listing
from pipeline.datasets.splits import build_manifest

PAPER = (0.15, 0.3, 0.5, 1.0)


def listing_of(**sizes: int) -> Listing:
    """Two classes, a and b, with so many samples in each split."""
    samples = [
        (split, name, f"{split}/{name}/{index:03}")
        for split, size in sizes.items()
        for name in "ab"
        for index in range(size)
    ]
    frame = pd.DataFrame(samples, columns=["split", "class_name", "path"])
    return Listing(frame, ("a", "b"), ImageFolderReader(Path()))


def sample(listing: Listing, rate: float, seed: int = 0, val_fraction: float = 0.2) -> pd.DataFrame:
    options: dict[str, Any] = {"images_per_class": None, "test_limit": None, "test_fraction": 0.2}
    return build_manifest(
        listing, sampling_rate=rate, seed=seed, val_fraction=val_fraction, **options
    )


def paths(manifest: pd.DataFrame, *splits: str) -> set[str]:
    return set(manifest.loc[manifest["split"].isin(splits), "path"])


def per_class(manifest: pd.DataFrame, split: str) -> set[int]:
    counts = manifest.loc[manifest["split"] == split, "label"].value_counts()
    return set(counts.reindex([0, 1], fill_value=0))


@pytest.mark.parametrize(
    ("rate", "train", "validation"), [(0.15, 4, 1), (0.3, 7, 2), (0.5, 12, 3), (1.0, 24, 6)]
)
def test_a_published_training_split_is_thinned_class_by_class(
    rate: float, train: int, validation: int
) -> None:
    """30 images: 4.5, 9, 15 and 30 of them, halves up; of these a fifth for validation."""
    manifest = sample(listing_of(train=30, test=7), rate)
    assert per_class(manifest, "train") == {train}
    assert per_class(manifest, "validation") == {validation}
    assert per_class(manifest, "test") == {7}


@pytest.mark.parametrize(("rate", "train"), [(0.15, 5), (0.3, 9), (0.5, 15), (1.0, 30)])
def test_a_published_validation_split_stays_whole(rate: float, train: int) -> None:
    manifest = sample(listing_of(train=30, validation=9, test=7), rate)
    assert [per_class(manifest, split) for split in ("train", "validation", "test")] == [
        {train},
        {9},
        {7},
    ]


def test_the_list_is_fixed_by_the_seed() -> None:
    listing = listing_of(train=40, validation=5, test=5)
    first = sample(listing, 0.3, seed=1)
    pd.testing.assert_frame_equal(sample(listing, 0.3, seed=1), first)
    other = sample(listing, 0.3, seed=2)
    assert paths(other, "train") != paths(first, "train")
    assert len(other) == len(first)
    assert paths(other, "validation", "test") == paths(first, "validation", "test")


@pytest.mark.parametrize("published", [{}, {"validation": 5}])
def test_a_higher_rate_contains_a_lower_one(published: dict[str, int]) -> None:
    samples = [sample(listing_of(train=40, test=5, **published), rate) for rate in PAPER]
    for low, high in pairwise(samples):
        assert paths(low, "train") < paths(high, "train")
        assert paths(low, "validation") <= paths(high, "validation")
    assert len(paths(samples[-1], "train", "validation")) == 80 + 2 * published.get("validation", 0)


def test_what_is_drawn_for_testing_does_not_depend_on_the_rate() -> None:
    listing = listing_of(unsplit=30)
    low, high = sample(listing, 0.15), sample(listing, 1.0)
    assert paths(low, "test") == paths(high, "test")
    assert per_class(low, "test") == {6}


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 60), st.floats(0.001, 1), st.floats(0.01, 0.99))
def test_each_class_keeps_at_least_one_image_for_each_use(
    size: int, rate: float, val_fraction: float
) -> None:
    manifest = sample(listing_of(train=size, test=1), rate, val_fraction=val_fraction)
    for label in 0, 1:
        one = manifest[(manifest["label"] == label) & (manifest["split"] != "test")]
        assert {"train", "validation"} == set(one["split"])
        assert len(one) == 2 or abs(len(one) - size * rate) <= 0.5


def test_one_image_of_a_class_is_enough_beside_a_published_validation_split() -> None:
    manifest = sample(listing_of(train=3, validation=2, test=1), 0.01)
    assert per_class(manifest, "train") == {1}
