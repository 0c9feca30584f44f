"""Which sentence is for training, which for validation, which for testing."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.common.errors import UserError
from pipeline.language.listing import SPLITS, TextListing
from pipeline.language.tag_schemes import type_of
from pipeline.params.language_sections import PrepareText

# Draws of their own, so that none depends on how many numbers another one took.
_POOL_DRAW, _TEST_LIMIT_DRAW = 0, 1


def draw_sentences(listing: TextListing, section: PrepareText, seed: int) -> pd.DataFrame:
    """Draw the splits; a published validation or test split is kept.

    What is not published is taken from the training sentences: first test, then `sentences` or the
    share `sampling_rate` for training and validation together, of these validation. So the test
    split depends on neither, and with the same seed the draw of more sentences contains that of
    fewer. Where validation is published, all that is drawn is for training. The sentences that
    bring the first entity of each type come first and are for training, since a type without one
    has no row of the relationship.

    Returns:
        Columns row (number of the sentence), split; ordered by split, then row.

    Raises:
        UserError: a split is empty, or a type of entities has no training sentence.
    """
    splits = np.array([split or "train" for split in listing.splits])
    pool = np.flatnonzero(splits == "train")
    published = {name: np.flatnonzero(splits == name) for name in ("validation", "test")}
    order = np.random.default_rng((seed, _POOL_DRAW)).permutation(pool)
    test = published["test"]
    if not len(test):
        count = _share(len(order), section.test_fraction)
        test, order = order[:count], order[count:]
    drawn = section.sentences or math.floor(len(order) * section.sampling_rate + 0.5)
    order = _rare_first(listing, order)[:drawn]
    validation = published["validation"]
    if not len(validation):
        # By place, not by number: a larger draw keeps each sentence in the split that it was in.
        every = max(round(1 / section.val_fraction), 2)
        is_held_out = np.arange(len(order)) % every == every - 1
        is_held_out[: _covering(listing, order)] = False
        validation, order = order[is_held_out], order[~is_held_out]
    if section.test_limit is not None:
        limited = np.random.default_rng((seed, _TEST_LIMIT_DRAW)).permutation(test)
        test = limited[: section.test_limit]
    found = dict(zip(SPLITS, (order, validation, test), strict=True))
    _require_enough(listing, found)
    return pd.DataFrame(
        [(row, split) for split, rows in found.items() for row in sorted(rows.tolist())],
        columns=["row", "split"],
    )


def _rare_first(listing: TextListing, order: np.ndarray) -> np.ndarray:
    """The order, but that the sentences with the first entity of each type come before all."""
    seen: set[str] = set()
    brings = []
    for row in order.tolist():
        new = _types(listing, [row]) - seen
        seen |= new
        brings.append(bool(new))
    return order[np.argsort(~np.array(brings, dtype=bool), kind="stable")]


def _covering(listing: TextListing, order: np.ndarray) -> int:
    """How many of the first sentences it takes to have all the types that all of them have."""
    every = _types(listing, order.tolist())
    return next(
        count for count in range(len(order) + 1) if _types(listing, order[:count].tolist()) == every
    )


def _share(count: int, fraction: float) -> int:
    return min(max(math.floor(count * fraction + 0.5), 1), count)


def _require_enough(listing: TextListing, found: dict[str, np.ndarray]) -> None:
    if empty := [split for split, rows in found.items() if not len(rows)]:
        raise UserError(
            f"no sentence is left for {empty[0]} of {len(listing.sentences)}; draw more by "
            "prepare_data.sentences or sampling_rate, or add sentences"
        )
    for split in ("train", "validation"):
        present = _types(listing, found[split].tolist())
        missing = [name for name in listing.types if name not in present]
        if (missing and split == "train") or not present:
            raise UserError(
                f"the {split} sentences have no entity of type {', '.join(missing)}; draw more by "
                "prepare_data.sentences or sampling_rate, or take the type out of the files"
            )


def _types(listing: TextListing, rows: Sequence[int]) -> set[str]:
    return {type_of(tag) for row in rows for tag in listing.sentences[row].tags} - {""}
