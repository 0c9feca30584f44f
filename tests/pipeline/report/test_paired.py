"""The paired comparison of two methods, against independent references."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from pipeline.report.metrics import METRICS
from pipeline.report.paired import (
    PairedDifference,
    comparison_table,
    paired_difference,
    paired_loss,
)


def of_correctness(correct: Sequence[bool]) -> pd.DataFrame:
    """Two classes, every label 0, image n in row n."""
    prediction = [0 if right else 1 for right in correct]
    return pd.DataFrame({"row": range(len(correct)), "label": 0, "prediction": prediction})


def test_mcnemar_by_hand() -> None:
    first = of_correctness([True] * 2 + [False] * 8 + [True] * 50 + [False] * 40)
    second = of_correctness([False] * 2 + [True] * 8 + [True] * 50 + [False] * 40)
    found = paired_difference([first], [second], 1000, 0)
    assert (found.only_first_right, found.only_second_right, found.images) == (2, 8, 100)
    assert found.difference == pytest.approx(0.06)
    assert found.p_value == pytest.approx(2 * (1 + 10 + 45) / 2**10)
    assert found.low < 0.06 < found.high
    assert not found.exceeds_noise


def test_the_interval_is_that_of_resampled_images() -> None:
    generator = np.random.default_rng(2)
    first, second = (of_correctness((generator.random(300) < p).tolist()) for p in (0.7, 0.8))
    found = paired_difference([first], [second], 20_000, 0)
    gain = (second["prediction"] == second["label"]).to_numpy(float)
    gain -= (first["prediction"] == first["label"]).to_numpy(float)
    rng = np.random.default_rng(1)
    draws = [gain[rng.integers(0, 300, 300)].mean() for _ in range(5000)]
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.008)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_swapping_the_methods_turns_the_sign(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (of_correctness(correct) for correct in zip(*pairs, strict=True))
    one = paired_difference([first], [second.sample(frac=1, random_state=0)], 500, 0)
    other = paired_difference([second], [first], 500, 0)
    assert one.difference == -other.difference
    assert one.p_value == pytest.approx(other.p_value)
    assert one.only_first_right == other.only_second_right
    assert one.low <= one.difference <= one.high
    assert 0 < one.p_value <= 1


def test_equal_methods_do_not_differ() -> None:
    table = of_correctness([True, False, True])
    assert paired_difference([table], [table], 100, 0) == PairedDifference(
        0, 0, 0, 1, 0, 0, 3, (0.0,)
    )


def test_over_samples_the_difference_is_a_mean_and_its_interval_covers_their_scatter() -> None:
    """By resampling samples, then images, in a plain loop."""
    rng = np.random.default_rng(0)
    first = [of_correctness([True] * 60 + [False] * 40) for _ in range(3)]
    shares = (0.5, 0.62, 0.8)
    second = [of_correctness((rng.random(100) < share).tolist()) for share in shares]
    found = paired_difference(first, second, 20_000, 0)
    gains = [
        (b["prediction"] == b["label"]).to_numpy(float) - (a["prediction"] == a["label"])
        for a, b in zip(first, second, strict=True)
    ]
    assert found.by_sample == pytest.approx([gain.mean() for gain in gains])
    assert found.difference == pytest.approx(np.mean(found.by_sample))
    draws = [
        np.mean([rng.choice(gains[number], 100).mean() for number in rng.integers(0, 3, 3)])
        for _ in range(4000)
    ]
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.015)
    assert found.p_value is None
    assert found.images == 300


def test_a_loss_is_compared_on_the_same_images_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    tables = [pd.DataFrame({"row": range(200), "nll": rng.exponential(size=200)}) for _ in range(2)]
    worse = [table.assign(nll=table["nll"] + rng.normal(0.1, 0.2, 200)) for table in tables]
    shuffled = [table.sample(frac=1, random_state=0) for table in worse]
    mean, low, high = paired_loss(tables, shuffled, "nll", 2000, 0)
    each = np.concatenate([b["nll"] - a["nll"] for a, b in zip(tables, worse, strict=True)])
    assert mean == pytest.approx(each.mean())
    interval = ttest_1samp(each, 0.0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=0.02)


def test_a_clear_gain_exceeds_the_noise() -> None:
    found = paired_difference(
        [of_correctness([False] * 30 + [True] * 70)], [of_correctness([True] * 100)], 500, 0
    )
    assert found.exceeds_noise


def test_different_images_or_labels_are_refused() -> None:
    table = of_correctness([True] * 4)
    with pytest.raises(ValueError, match="the second 3, 3 are in both"):
        paired_difference([table], [table[:3]], 100, 0)
    with pytest.raises(ValueError, match="same images once each"):
        paired_difference([table.assign(row=0)], [table.assign(row=0)], 100, 0)
    with pytest.raises(ValueError, match="agree on the labels; 4 images differ"):
        paired_difference([table], [table.assign(label=1)], 100, 0)
    with pytest.raises(ValueError, match="zero images"):
        paired_difference([table[:0]], [table[:0]], 100, 0)


def test_the_comparison_has_a_row_a_method() -> None:
    values = dict.fromkeys(METRICS, 0.5) | {"intervals": {key: [0.4, 0.6] for key in METRICS}}
    difference = PairedDifference(0.02, -0.01, 0.05, 0.3, 4, 6, 100, (0.02,))
    table = comparison_table(
        {"vanilla": values, "co-tuning": values}, {"co-tuning": difference}
    ).set_index("method")
    assert table["nll_low"].tolist() == [0.4, 0.4]
    assert table.loc["co-tuning", "difference_to_vanilla"] == 0.02
    assert table.loc["co-tuning", "p_value"] == 0.3
    assert table.loc["vanilla", "difference_low":].isna().all()
