from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.datasets.readers.registry import ImageFolderReader, Listing
from pipeline.datasets.splits import SPLITS, build_manifest, drop_rows

DEFAULTS: dict[str, Any] = {
    "images_per_class": None,
    "val_fraction": 0.2,
    "test_fraction": 0.2,
    "test_limit": None,
    "seed": 0,
}
class_counts = st.lists(st.integers(3, 40), min_size=2, max_size=4)
fractions = st.floats(0.01, 0.9)
seeds = st.integers(0, 2**32)
thorough = settings(deadline=None, max_examples=50)


def listing_of(**counts: list[int]) -> Listing:
    """Samples of each split, so many of class a, b, ...; `unsplit` stands for no split."""
    samples = [
        ("" if split == "unsplit" else split, chr(97 + label), f"{split}/{chr(97 + label)}/{index}")
        for split, sizes in counts.items()
        for label, size in enumerate(sizes)
        for index in range(size)
    ]
    classes = tuple(chr(97 + label) for label in range(max(map(len, counts.values()))))
    frame = pd.DataFrame(samples, columns=["split", "class_name", "path"])
    return Listing(frame, classes, ImageFolderReader(Path()))


def manifest_of(listing: Listing, **options: Any) -> pd.DataFrame:
    return build_manifest(listing, **(DEFAULTS | options))


def paths(manifest: pd.DataFrame, split: str) -> set[str]:
    return set(manifest.loc[manifest["split"] == split, "path"])


def counts(manifest: pd.DataFrame, split: str) -> dict[int, int]:
    return dict(Counter(manifest.loc[manifest["split"] == split, "label"]))


@thorough
@given(class_counts, st.none() | st.integers(2, 40), fractions, fractions, seeds)
def test_splits_are_disjoint_stratified_and_in_order(
    sizes: list[int], per_class: int | None, val: float, test: float, seed: int
) -> None:
    sizes = [*sizes, 100]
    listing = listing_of(unsplit=sizes)
    manifest = manifest_of(
        listing, images_per_class=per_class, val_fraction=val, test_fraction=test, seed=seed
    )
    assert list(manifest.columns) == ["row", "split", "label", "path"]
    assert list(manifest["row"]) == list(range(len(manifest)))
    assert manifest["path"].is_unique
    keys = [(SPLITS.index(row.split), row.label, row.path) for row in manifest.itertuples()]
    assert keys == sorted(keys)
    class_of = dict(zip(listing.samples["path"], listing.samples["class_name"], strict=True))
    assert [listing.classes[label] for label in manifest["label"]] == [
        class_of[path] for path in manifest["path"]
    ]
    for label, size in enumerate(sizes):
        tested = counts(manifest, "test")[label]
        held_out = counts(manifest, "validation").get(label, 0)
        chosen = counts(manifest, "train")[label] + held_out
        assert 1 <= tested < size
        assert abs(tested - size * test) <= 0.5 or tested in (1, size - 1)
        assert chosen == min(size - tested, per_class or size)
        assert held_out < chosen
        assert abs(held_out - chosen * val) <= 0.5 or held_out in (1, chosen - 1)
        assert held_out >= 1 or chosen == 1


@thorough
@given(class_counts, seeds, st.randoms(use_true_random=False))
def test_the_same_seed_gives_the_same_manifest_whatever_the_order(
    sizes: list[int], seed: int, random: Any
) -> None:
    listing = listing_of(unsplit=sizes)
    order = list(range(len(listing.samples)))
    random.shuffle(order)
    shuffled = Listing(listing.samples.iloc[order], listing.classes, listing.read)
    first = manifest_of(listing, images_per_class=7, test_limit=5, seed=seed)
    second = manifest_of(shuffled, images_per_class=7, test_limit=5, seed=seed)
    pd.testing.assert_frame_equal(first, second)


@thorough
@given(class_counts, st.integers(2, 40), st.integers(0, 40), fractions, seeds)
def test_a_larger_draw_contains_the_smaller_split_by_split(
    sizes: list[int], per_class: int, more: int, val: float, seed: int
) -> None:
    listing = listing_of(unsplit=[size + 2 for size in sizes])
    options = {"val_fraction": val, "seed": seed}
    small = manifest_of(listing, images_per_class=per_class, **options)
    large = manifest_of(listing, images_per_class=per_class + more, **options)
    assert paths(small, "train") <= paths(large, "train")
    assert paths(small, "validation") <= paths(large, "validation")
    assert paths(small, "test") == paths(large, "test")


@thorough
@given(class_counts, st.integers(1, 100), st.integers(0, 100), seeds)
def test_the_test_limit_is_shared_evenly(
    sizes: list[int], limit: int, more: int, seed: int
) -> None:
    listing = listing_of(train=[3] * len(sizes), test=sizes)
    limited = manifest_of(listing, test_limit=limit, seed=seed)
    kept = [counts(limited, "test").get(label, 0) for label in range(len(sizes))]
    assert sum(kept) == min(limit, sum(sizes))
    most = max(kept)
    assert all(most - 1 <= count or count == size for count, size in zip(kept, sizes, strict=True))
    larger = manifest_of(listing, test_limit=limit + more, seed=seed)
    assert paths(limited, "test") <= paths(larger, "test")
    assert paths(limited, "train") == paths(larger, "train")


def test_another_seed_draws_others() -> None:
    listing = listing_of(unsplit=[40, 40])
    first, second = manifest_of(listing, seed=1), manifest_of(listing, seed=2)
    for split in SPLITS:
        assert paths(first, split) != paths(second, split)
        assert len(paths(first, split)) == len(paths(second, split))


def test_classes_are_drawn_independently() -> None:
    manifest = manifest_of(listing_of(unsplit=[40, 40]))
    drawn = [
        {path.rsplit("/")[-1] for path in paths(manifest, "test") if f"/{name}/" in path}
        for name in "ab"
    ]
    assert drawn[0] != drawn[1]


def test_published_splits_are_kept_whole() -> None:
    listing = listing_of(train=[10, 12], validation=[3, 0], test=[4, 5])
    manifest = manifest_of(listing, images_per_class=8)
    assert counts(manifest, "train") == {0: 8, 1: 8}
    assert counts(manifest, "validation") == {0: 3}
    assert counts(manifest, "test") == {0: 4, 1: 5}


def test_what_is_not_published_is_drawn_from_the_training_split() -> None:
    manifest = manifest_of(listing_of(train=[10, 20]), val_fraction=0.25, test_fraction=0.2)
    assert counts(manifest, "test") == {0: 2, 1: 4}
    assert counts(manifest, "validation") == {0: 2, 1: 4}
    assert counts(manifest, "train") == {0: 6, 1: 12}


def test_small_classes_are_spared() -> None:
    manifest = manifest_of(listing_of(unsplit=[1, 2, 3, 30]), val_fraction=0.1, test_fraction=0.1)
    assert counts(manifest, "test") == {2: 1, 3: 3}
    assert counts(manifest, "validation") == {1: 1, 2: 1, 3: 3}
    assert counts(manifest, "train") == {0: 1, 1: 1, 2: 1, 3: 24}


def test_a_limit_below_the_number_of_classes_is_kept() -> None:
    manifest = manifest_of(listing_of(unsplit=[10, 10, 10]), test_limit=2)
    assert sum(counts(manifest, "test").values()) == 2


def test_classes_without_a_training_sample_are_named() -> None:
    listing = listing_of(train=[5, 0, 5, 0], test=[1, 1, 1, 1])
    with pytest.raises(UserError, match=r"^no training image of class b, d; add readable images"):
        manifest_of(listing)


def test_an_empty_validation_split_is_refused() -> None:
    with pytest.raises(UserError, match=r"^the validation split is empty; expected .* two or more"):
        manifest_of(listing_of(train=[1, 1], test=[1, 1]))


def test_an_empty_test_split_is_refused() -> None:
    with pytest.raises(UserError, match=r"^the test split is empty; expected a test/ folder"):
        manifest_of(listing_of(unsplit=[2, 2]))


def test_dropped_rows_leave_the_others_numbered_anew() -> None:
    manifest = manifest_of(listing_of(unsplit=[10, 10]))
    kept = drop_rows(manifest, [0, 5, len(manifest) - 1], ["a", "b"])
    assert list(kept["row"]) == list(range(len(manifest) - 3))
    assert list(kept["path"]) == list(manifest["path"].drop([0, 5, len(manifest) - 1]))
    pd.testing.assert_frame_equal(drop_rows(manifest, [], ["a", "b"]), manifest)


def test_dropping_leaves_rows_of_further_splits_alone() -> None:
    manifest = manifest_of(listing_of(unsplit=[10, 10]))
    added = pd.DataFrame(
        {"row": [len(manifest)], "split": "source-validation", "label": 7, "path": "x"}
    )
    both = pd.concat([manifest, added], ignore_index=True)
    assert list(drop_rows(both, [1], ["a", "b"]).iloc[-1]) == [
        len(manifest) - 1,
        "source-validation",
        7,
        "x",
    ]


@pytest.mark.parametrize(
    ("split", "label", "message"),
    [
        ("train", 1, "no training image of class b;"),
        ("validation", None, "the validation split is empty"),
        ("test", None, "the test split is empty"),
    ],
)
def test_dropping_too_much_is_refused(split: str, label: int | None, message: str) -> None:
    manifest = manifest_of(listing_of(unsplit=[10, 10]))
    lost = manifest["split"] == split
    if label is not None:
        lost &= manifest["label"] == label
    with pytest.raises(UserError, match=message):
        drop_rows(manifest, list(manifest.loc[lost, "row"]), ["a", "b"])
