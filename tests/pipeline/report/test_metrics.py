"""Metrics, their intervals and the paired comparison, against independent references."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from pipeline.cotuning.calibration import bin_confidences, expected_calibration_error
from pipeline.report.metrics import (
    METRICS,
    PairedDifference,
    bootstrap_intervals,
    classification_metrics,
    comparison_table,
    paired_difference,
)

CLASSES = 5


def random_predictions(
    images: int, seed: int, accuracy: float = 0.7, classes: int = CLASSES
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, images)
    right = rng.random(images) < accuracy
    return pd.DataFrame(
        {
            "row": rng.permutation(images) + 100,
            "label": label,
            "prediction": np.where(right, label, (label + 1) % classes),
            "confidence": rng.uniform(1 / classes, 1, images),
            "nll": rng.exponential(size=images),
            "calibrated_confidence": rng.uniform(1 / classes, 1, images),
            "calibrated_nll": rng.exponential(size=images),
        }
    )


def of_correctness(correct: Sequence[bool]) -> pd.DataFrame:
    """Two classes, every label 0, image n in row n."""
    prediction = [0 if right else 1 for right in correct]
    return pd.DataFrame({"row": range(len(correct)), "label": 0, "prediction": prediction})


def calibration_error_by_loop(
    predictions: pd.DataFrame, confidence: str = "confidence", bins: int = 15
) -> float:
    total = 0.0
    for bin_number in range(bins):
        low, high = bin_number / bins, (bin_number + 1) / bins
        inside = predictions[predictions[confidence].between(low, high, inclusive="right")]
        if len(inside):
            accuracy = (inside["label"] == inside["prediction"]).mean()
            total += len(inside) * abs(accuracy - inside[confidence].mean())
    return total / len(predictions)


@settings(max_examples=40, deadline=None)
@given(images=st.integers(1, 200), seed=st.integers(0, 1000))
def test_metrics_agree_with_scikit_learn_and_a_plain_loop(images: int, seed: int) -> None:
    predictions = random_predictions(images, seed)
    found = classification_metrics(predictions, CLASSES)
    label, prediction = predictions["label"], predictions["prediction"]
    assert tuple(found) == METRICS
    assert found["accuracy"] == pytest.approx(accuracy_score(label, prediction))
    recalls = [(prediction[label == one] == one).mean() for one in sorted(set(label))]
    assert found["mean_class_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["nll"] == pytest.approx(predictions["nll"].mean())
    assert found["ece"] == pytest.approx(calibration_error_by_loop(predictions))
    assert found["calibrated_nll"] == pytest.approx(predictions["calibrated_nll"].mean())
    by_loop = calibration_error_by_loop(predictions, "calibrated_confidence")
    assert found["calibrated_ece"] == pytest.approx(by_loop)


def test_mean_class_accuracy_is_balanced_accuracy_over_the_classes_present() -> None:
    predictions = random_predictions(500, 0).query("label != 3")
    found = classification_metrics(predictions, CLASSES)["mean_class_accuracy"]
    with pytest.warns(UserWarning, match="not in y_true"):
        reference = balanced_accuracy_score(predictions["label"], predictions["prediction"])
    assert found == pytest.approx(reference)


@pytest.mark.parametrize("column", ["label", "prediction"])
@pytest.mark.parametrize("value", [-1, CLASSES])
def test_a_class_out_of_range_is_refused(column: str, value: int) -> None:
    predictions = random_predictions(10, 0)
    predictions.loc[3, column] = value
    with pytest.raises(ValueError, match=rf"{column} must be in \[0, 5\)"):
        classification_metrics(predictions, CLASSES)


def test_zero_predictions_are_refused() -> None:
    with pytest.raises(ValueError, match="zero predictions"):
        bootstrap_intervals(random_predictions(0, 0), CLASSES, 100, 0)


def test_intervals_agree_with_scipy() -> None:
    predictions = random_predictions(400, 1)
    correct = (predictions["label"] == predictions["prediction"]).to_numpy(float)
    found = bootstrap_intervals(predictions, CLASSES, 4000, seed=0)
    for name, values in ("accuracy", correct), ("nll", predictions["nll"].to_numpy()):
        reference = bootstrap(
            (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(5)
        ).confidence_interval
        assert found[name] == pytest.approx(tuple(reference), abs=0.006)


def test_intervals_depend_on_the_seed_alone() -> None:
    predictions = random_predictions(100, 1)
    first = bootstrap_intervals(predictions, CLASSES, 200, seed=3)
    assert first == bootstrap_intervals(predictions, CLASSES, 200, seed=3)
    assert first != bootstrap_intervals(predictions, CLASSES, 200, seed=4)


@settings(max_examples=25, deadline=None)
@given(images=st.integers(1, 120), accuracy=st.floats(0, 1), seed=st.integers(0, 1000))
def test_every_interval_holds_its_estimate(images: int, accuracy: float, seed: int) -> None:
    predictions = random_predictions(images, seed, accuracy)
    estimates = classification_metrics(predictions, CLASSES)
    intervals = bootstrap_intervals(predictions, CLASSES, 200, seed)
    for name, (low, high) in intervals.items():
        assert low - 1e-9 <= estimates[name] <= high + 1e-9, name


def overconfident(images: int, rng: np.random.Generator) -> pd.DataFrame:
    """Right with probability confidence ** 1.5."""
    confidence = rng.beta(4, 1.5, images) * 0.95 + 0.05
    right = rng.random(images) < confidence**1.5
    table = of_correctness(right.tolist())
    numbers = {"confidence": confidence, "nll": rng.exponential(size=images)}
    calibrated = {f"calibrated_{name}": values for name, values in numbers.items()}
    return table.assign(**numbers, **calibrated)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    large = overconfident(400_000, rng)
    right = (large["label"] == large["prediction"]).to_numpy(float)
    curve = bin_confidences(large["confidence"].to_numpy(), right)
    truth = {"accuracy": right.mean(), "nll": 1.0, "ece": expected_calibration_error(curve)}
    covered = dict.fromkeys(truth, 0)
    for trial in range(120):
        intervals = bootstrap_intervals(overconfident(200, rng), 2, 120, seed=trial)
        for name, value in truth.items():
            low, high = intervals[name]
            covered[name] += low <= value <= high
    assert all(0.87 <= hits / 120 <= 1 for hits in covered.values()), covered


def test_mcnemar_by_hand() -> None:
    first = of_correctness([True] * 2 + [False] * 8 + [True] * 50 + [False] * 40)
    second = of_correctness([False] * 2 + [True] * 8 + [True] * 50 + [False] * 40)
    found = paired_difference(first, second, 1000, 0)
    assert (found.only_first_right, found.only_second_right, found.images) == (2, 8, 100)
    assert found.difference == pytest.approx(0.06)
    assert found.p_value == pytest.approx(2 * (1 + 10 + 45) / 2**10)
    assert found.low < 0.06 < found.high
    assert not found.exceeds_noise


def test_the_interval_is_that_of_resampled_images() -> None:
    first, second = (random_predictions(300, 2).assign(row=range(300)) for _ in range(2))
    second["prediction"] = random_predictions(300, 9, 0.8)["prediction"]
    found = paired_difference(first, second, 20_000, 0)
    gain = (second["prediction"] == second["label"]).to_numpy(float)
    gain -= (first["prediction"] == first["label"]).to_numpy(float)
    rng = np.random.default_rng(1)
    draws = [gain[rng.integers(0, 300, 300)].mean() for _ in range(5000)]
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.008)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_swapping_the_methods_turns_the_sign(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (of_correctness(correct) for correct in zip(*pairs, strict=True))
    one = paired_difference(first, second.sample(frac=1, random_state=0), 500, 0)
    other = paired_difference(second, first, 500, 0)
    assert one.difference == -other.difference
    assert one.p_value == pytest.approx(other.p_value)
    assert one.only_first_right == other.only_second_right
    assert one.low <= one.difference <= one.high
    assert 0 < one.p_value <= 1


def test_equal_methods_do_not_differ() -> None:
    table = of_correctness([True, False, True])
    assert paired_difference(table, table, 100, 0) == PairedDifference(0, 0, 0, 1, 0, 0, 3)


def test_a_clear_gain_exceeds_the_noise() -> None:
    found = paired_difference(
        of_correctness([False] * 30 + [True] * 70), of_correctness([True] * 100), 500, 0
    )
    assert found.exceeds_noise


def test_different_images_or_labels_are_refused() -> None:
    table = of_correctness([True] * 4)
    with pytest.raises(ValueError, match="the second 3, 3 are in both"):
        paired_difference(table, table[:3], 100, 0)
    with pytest.raises(ValueError, match="same images once each"):
        paired_difference(table.assign(row=0), table.assign(row=0), 100, 0)
    with pytest.raises(ValueError, match="agree on the labels; 4 images differ"):
        paired_difference(table, table.assign(label=1), 100, 0)
    with pytest.raises(ValueError, match="zero images"):
        paired_difference(table[:0], table[:0], 100, 0)


def test_the_comparison_has_a_row_a_method() -> None:
    values = dict.fromkeys(METRICS, 0.5) | {"intervals": {key: [0.4, 0.6] for key in METRICS}}
    difference = PairedDifference(0.02, -0.01, 0.05, 0.3, 4, 6, 100)
    table = comparison_table(
        {"vanilla": values, "co-tuning": values}, {"co-tuning": difference}
    ).set_index("method")
    assert table["nll_low"].tolist() == [0.4, 0.4]
    assert table.loc["co-tuning", "difference_to_vanilla"] == 0.02
    assert table.loc["co-tuning", "p_value"] == 0.3
    assert table.loc["vanilla", "difference_low":].isna().all()
