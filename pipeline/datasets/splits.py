"""Which sample is for training, which for validation, which for testing."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.common.errors import UserError
from pipeline.datasets.listing import Listing, name_some

SPLITS = ("train", "validation", "test")
# Draws of their own, so that none depends on how many numbers another one took.
_POOL_DRAW, _TEST_LIMIT_DRAW = 0, 1


def build_manifest(
    listing: Listing,
    *,
    images_per_class: int | None,
    val_fraction: float,
    test_fraction: float | None,
    test_limit: int | None,
    seed: int,
    sampling_rate: float = 1.0,
) -> pd.DataFrame:
    """Draw the splits, class by class; the order of the listing has no influence.

    A published validation or test split is kept. What is not published is taken from the
    training samples of each class: first test, then `images_per_class` or the share
    `sampling_rate` for training and validation together, of these validation. So the test split
    depends on neither, and with the same seed each split of a larger draw contains that of a
    smaller one. With a `test_fraction` of None it is the other way round: what is drawn for neither
    training nor validation is the test split, which a larger draw makes smaller.

    Args:
        listing: of the source.
        images_per_class: for training and validation together; None takes all.
        val_fraction: in (0, 1), of what is drawn of each class, rounded; never all of it, and at
            least one of two samples.
        test_fraction: in (0, 1), of each class, rounded; never all of a class, and at least one
            where it has three samples, as also where None leaves the rest of it. 0 draws no test
            split.
        test_limit: most test samples, shared among the classes as evenly as their counts allow.
        seed: of every draw.
        sampling_rate: in (0, 1], of what is left of each class for training and validation,
            rounded half up; at least one for each of the two that is drawn.

    Returns:
        Columns row (0, 1, ...), split (train, validation, test), label and path; ordered by
        split, label and path.

    Raises:
        UserError: a class has no training sample, or no sample is for validation, or none for
            testing with another test_fraction than 0.
    """
    labels = {name: label for label, name in enumerate(listing.classes)}
    samples = listing.samples.assign(label=listing.samples["class_name"].map(labels))
    samples = samples.sort_values(["label", "path"])
    is_published = samples["split"].isin(["validation", "test"])
    parts = [samples[is_published]]
    published = set(parts[0]["split"])
    for label, pool in samples[~is_published].groupby("label"):
        splits = _splits_by_position(
            len(pool),
            images_per_class,
            sampling_rate,
            0.0 if "validation" in published else val_fraction,
            0.0 if "test" in published else test_fraction,
        )
        order = np.random.default_rng((seed, int(str(label)), _POOL_DRAW)).permutation(len(pool))
        drawn = pool.iloc[order[: len(splits)]]
        parts.append(drawn.assign(split=splits))
    manifest = pd.concat(parts)
    if test_limit is not None:
        manifest = _limit_test(manifest, test_limit, seed)
    manifest = manifest.sort_values(
        ["split", "label", "path"],
        key=lambda column: column.map(SPLITS.index) if column.name == "split" else column,
    )
    return _numbered(manifest[["split", "label", "path"]], listing.classes, test_fraction != 0)


def drop_rows(manifest: pd.DataFrame, bad: Sequence[int], classes: Sequence[str]) -> pd.DataFrame:
    """Leave rows out, because their images cannot be read, and number the others anew.

    Args:
        manifest: columns row, split, label, path; rows of further splits may be among them.
        bad: values of `row`.
        classes: names of the classes, in label order.

    Raises:
        UserError: a class has no training sample left, or validation none at all, or test none
            although it had some.
    """
    is_tested = bool((manifest["split"] == "test").any())
    kept = manifest[~manifest["row"].isin(list(bad))]
    return _numbered(kept.drop(columns="row"), classes, is_tested)


def _splits_by_position(
    count: int,
    images_per_class: int | None,
    sampling_rate: float,
    val_fraction: float,
    test_fraction: float | None,
) -> list[str]:
    """What becomes of the first, second, ... sample of one class in drawn order."""
    if test_fraction is None:
        test, available = 0, count - 1 if count >= 3 else count
        share = min(_rounded(count * sampling_rate), available)
    else:
        test = _share(count, test_fraction, least_count=3)
        available = count - test
        share = _rounded(available * sampling_rate)
    chosen = max(share, min(available, 2 if val_fraction else 1))
    if images_per_class is not None:
        chosen = min(chosen, images_per_class)
    rest = count - chosen if test_fraction is None else 0
    # A position's split must not depend on `chosen`: this keeps smaller draws inside larger ones.
    held_out = [_share(size, val_fraction, least_count=2) for size in range(chosen + 1)]
    drawn = [
        "validation" if held_out[position + 1] > held_out[position] else "train"
        for position in range(chosen)
    ]
    return ["test"] * test + drawn + ["test"] * rest


def _share(count: int, fraction: float, least_count: int) -> int:
    if fraction == 0.0 or count == 0:
        return 0
    least = 1 if count >= least_count else 0
    return max(least, min(_rounded(count * fraction), count - 1))


def _rounded(number: float) -> int:
    return math.floor(number + 0.5)


def _limit_test(manifest: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    is_test = manifest["split"] == "test"
    kept = [manifest[~is_test]]
    groups = list(manifest[is_test].sort_values("path").groupby("label"))
    counts = _even_counts([len(group) for _, group in groups], limit)
    for (label, group), count in zip(groups, counts, strict=True):
        generator = np.random.default_rng((seed, int(str(label)), _TEST_LIMIT_DRAW))
        kept.append(group.iloc[generator.permutation(len(group))[:count]])
    return pd.concat(kept)


def _even_counts(available: Sequence[int], limit: int) -> list[int]:
    """Share `limit` out among classes, equally but for those that have less."""
    counts = [0] * len(available)
    smallest_first = sorted(range(len(available)), key=lambda label: available[label])
    for position, label in enumerate(smallest_first):
        share = limit // (len(available) - position)
        counts[label] = min(available[label], share)
        limit -= counts[label]
    return counts


def _numbered(samples: pd.DataFrame, classes: Sequence[str], is_tested: bool) -> pd.DataFrame:
    trained = set(samples.loc[samples["split"] == "train", "label"])
    untrained = [name for label, name in enumerate(classes) if label not in trained]
    if untrained:
        raise UserError(
            f"no training image of class {name_some(untrained)}; "
            "add readable images of each class, or take the class out of the source"
        )
    if not (samples["split"] == "validation").any():
        raise UserError(
            "the validation split is empty; expected at least one class with two or more images "
            "for training and validation; add readable images, or lower prepare_data.test_fraction"
        )
    if is_tested and not (samples["split"] == "test").any():
        raise UserError(
            "the test split is empty; expected a test/ folder with readable images, or at least "
            "one class with three or more images to draw it from; add images"
        )
    manifest = samples.reset_index(drop=True)
    manifest.insert(0, "row", range(len(manifest)))
    return manifest
