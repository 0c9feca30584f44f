"""Metrics, their intervals and the paired comparison, against independent references."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from pipeline.cotuning.reliability import bin_confidences, expected_calibration_error
from pipeline.report.metrics import (
    METRICS,
    bootstrap_intervals,
    classification_metrics,
    mean_metrics,
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
        bootstrap_intervals([random_predictions(0, 0)], CLASSES, 100, 0)


def test_intervals_agree_with_scipy() -> None:
    predictions = random_predictions(400, 1)
    correct = (predictions["label"] == predictions["prediction"]).to_numpy(float)
    found = bootstrap_intervals([predictions], CLASSES, 4000, seed=0)
    for name, values in ("accuracy", correct), ("nll", predictions["nll"].to_numpy()):
        reference = bootstrap(
            (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(5)
        ).confidence_interval
        assert found[name] == pytest.approx(tuple(reference), abs=0.006)


def test_intervals_depend_on_the_seed_alone() -> None:
    predictions = random_predictions(100, 1)
    first = bootstrap_intervals([predictions], CLASSES, 200, seed=3)
    assert first == bootstrap_intervals([predictions], CLASSES, 200, seed=3)
    assert first != bootstrap_intervals([predictions], CLASSES, 200, seed=4)


@settings(max_examples=25, deadline=None)
@given(images=st.integers(1, 120), accuracy=st.floats(0, 1), seed=st.integers(0, 1000))
def test_every_interval_holds_its_estimate(images: int, accuracy: float, seed: int) -> None:
    predictions = random_predictions(images, seed, accuracy)
    estimates = classification_metrics(predictions, CLASSES)
    intervals = bootstrap_intervals([predictions], CLASSES, 200, seed)
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
        intervals = bootstrap_intervals([overconfident(200, rng)], 2, 120, seed=trial)
        for name, value in truth.items():
            low, high = intervals[name]
            covered[name] += low <= value <= high
    assert all(0.87 <= hits / 120 <= 1 for hits in covered.values()), covered


def test_several_samples_are_averaged_and_their_scatter_widens_the_intervals() -> None:
    samples = [random_predictions(400, seed, accuracy) for seed, accuracy in enumerate((0.5, 0.9))]
    found = mean_metrics(samples, CLASSES)
    each = [classification_metrics(one, CLASSES)["accuracy"] for one in samples]
    assert found["accuracy"] == pytest.approx(np.mean(each))
    low, high = bootstrap_intervals(samples, CLASSES, 400, 0)["accuracy"]
    assert low < each[0] + 0.05
    assert high > each[1] - 0.05
    alike = [random_predictions(400, seed, 0.7) for seed in (0, 1)]
    low, high = bootstrap_intervals(alike, CLASSES, 400, 0)["accuracy"]
    assert high - low < 0.12
