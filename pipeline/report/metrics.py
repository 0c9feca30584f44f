"""How good predictions are, how sure that is, and whether two methods differ beyond the noise.

A predictions table has a row an image: row (of the image), label and prediction (classes, from
0), confidence (the top probability, in (0, 1]) and nll (of the true label, in nats); the last two
also as calibrated_confidence and calibrated_nll, at the method's own temperature.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from torch import Tensor

from pipeline.cotuning.calibration import bin_confidences, expected_calibration_error

Interval = tuple[float, float]

CALIBRATED = "calibrated_"
METRICS = (
    *("accuracy", "mean_class_accuracy", "nll", "ece"),
    *(f"{CALIBRATED}nll", f"{CALIBRATED}ece"),
)
# Arrays [N] of a predictions table: label, correct (0 or 1), and its columns of numbers.
_Judged = Mapping[str, np.ndarray]
CALIBRATION_BINS = 15
INTERVAL_QUANTILES = (0.025, 0.975)
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class PairedDifference:
    """Two methods on the same images: the accuracy of the second minus that of the first.

    Attributes:
        difference: in [-1, 1]; positive where the second is better.
        low, high: 95% interval of the difference.
        p_value: of the exact McNemar test that both are right equally often, in (0, 1].
        only_first_right, only_second_right: images on which the two disagree.
        images: on which both were judged.
    """

    difference: float
    low: float
    high: float
    p_value: float
    only_first_right: int
    only_second_right: int
    images: int

    @property
    def exceeds_noise(self) -> bool:
        """Both the interval leaves out 0 and the test rejects at 5%."""
        return (self.low > 0 or self.high < 0) and self.p_value < SIGNIFICANCE


def predictions_table(logits: Tensor, samples: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """What the logits [N, classes] predict for N samples: columns as above, and path.

    Args:
        samples: columns row, path and label, in the order of the logits.
        temperature: the method's own, T > 0.
    """
    label = samples["label"].to_numpy()
    columns = {
        **{name: samples[name].to_numpy() for name in ("row", "path")},
        **{"label": label, "prediction": logits.argmax(dim=1).numpy()},
    }
    for prefix, divisor in (("", 1.0), (CALIBRATED, temperature)):
        log_probabilities = (logits.double() / divisor).log_softmax(dim=1).numpy()
        columns[f"{prefix}confidence"] = np.exp(log_probabilities.max(axis=1))
        columns[f"{prefix}nll"] = -log_probabilities[np.arange(len(label)), label]
    return pd.DataFrame(columns)


def classification_metrics(predictions: pd.DataFrame, classes: int) -> dict[str, float]:
    """Accuracy, mean_class_accuracy, nll (nats) and ece (15 equal-width bins) of predictions.

    mean_class_accuracy is the mean recall over the classes that are present. All but nll are
    fractions in [0, 1]. nll and ece are there a second time as calibrated_nll and calibrated_ece.

    Args:
        predictions: see the module.
        classes: how many target classes there are; every label and prediction lies below.

    Raises:
        ValueError: there is no prediction, or a class is out of range.
    """
    return _metrics(_judged(predictions, classes), classes)


def bootstrap_intervals(
    predictions: pd.DataFrame, classes: int, resamples: int, seed: int
) -> dict[str, Interval]:
    """95% bootstrap interval of every metric of classification_metrics; images are resampled.

    Percentile intervals. That of ece is moved by the bootstrap's estimate of its bias: drawing
    images anew adds noise to every bin and with it to ece, so the plain percentiles lie too high
    and may leave out the estimate itself (in a simulation with 200 images they covered the truth
    75% of the time, moved 95%). ece of few images is itself too high, and so is its interval
    where the truth is near 0.

    Args:
        resamples: how many data sets are drawn; 1,000 give two stable digits.
        seed: the same seed gives the same intervals.

    Raises:
        ValueError: there is no prediction, or a class is out of range.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 10 and 13.
    """
    judged = _judged(predictions, classes)
    estimate = _metrics(judged, classes)
    generator = np.random.default_rng(seed)
    images = len(predictions)
    samples = (generator.integers(0, images, images) for _ in range(resamples))
    draws = pd.DataFrame(
        _metrics({name: values[sample] for name, values in judged.items()}, classes)
        for sample in samples
    )
    for name in ("ece", f"{CALIBRATED}ece"):
        bias = draws[name].mean() - estimate[name]
        draws[name] = (draws[name] - bias).clip(0, 1)
    return {name: _interval(draws[name].to_numpy()) for name in estimate}


def paired_difference(
    first: pd.DataFrame, second: pd.DataFrame, resamples: int, seed: int
) -> PairedDifference:
    """Compare two methods image by image.

    Only images on which one is right and the other is wrong decide. Their numbers in a resample
    of the images are multinomial, so they are drawn as such.

    Args:
        first, second: predictions of the same images, in any order.
        resamples: how many data sets are drawn for the interval.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: the images or their labels differ, or there are none.

    Source: McNemar, Psychometrika 12, 1947; exact, two-sided.
    """
    first, second = (table.set_index("row").sort_index() for table in (first, second))
    if not (first.index.is_unique and first.index.equals(second.index)):
        common = len(first.index.intersection(second.index))
        raise ValueError(
            f"the two tables must hold the same images once each: the first has {len(first)}, "
            f"the second {len(second)}, {common} are in both"
        )
    if differing := int((first["label"] != second["label"]).sum()):
        raise ValueError(f"the two tables must agree on the labels; {differing} images differ")
    images = len(first)
    if images == 0:
        raise ValueError("two methods cannot be compared on zero images")
    first_right = (first["prediction"] == first["label"]).to_numpy()
    second_right = (second["prediction"] == second["label"]).to_numpy()
    losses, gains = (
        int((first_right & ~second_right).sum()),
        int((second_right & ~first_right).sum()),
    )
    discordant = gains + losses
    shares = np.array([losses, gains, images - discordant]) / images
    draws = np.random.default_rng(seed).multinomial(images, shares, size=resamples)
    low, high = _interval((draws[:, 1] - draws[:, 0]) / images)
    p_value = float(binomtest(gains, discordant).pvalue) if discordant else 1.0
    return PairedDifference((gains - losses) / images, low, high, p_value, losses, gains, images)


def comparison_table(
    metrics: Mapping[str, Mapping[str, Any]], differences: Mapping[str, PairedDifference]
) -> pd.DataFrame:
    """A row a method: its metrics with their intervals, its difference in accuracy to vanilla.

    Columns method; <metric>, <metric>_low, <metric>_high; difference_to_vanilla, difference_low,
    difference_high, p_value, which are empty for a method without a difference.

    Args:
        metrics: by method, the metrics and under `intervals` their two ends.
        differences: by method, to vanilla.
    """
    rows = []
    for method, values in metrics.items():
        row: dict[str, Any] = {"method": method}
        for name in METRICS:
            low, high = values["intervals"][name]
            row |= {name: values[name], f"{name}_low": low, f"{name}_high": high}
        found = differences.get(method)
        row["difference_to_vanilla"] = found.difference if found else None
        row["difference_low"] = found.low if found else None
        row["difference_high"] = found.high if found else None
        row["p_value"] = found.p_value if found else None
        rows.append(row)
    return pd.DataFrame(rows)


def _judged(predictions: pd.DataFrame, classes: int) -> _Judged:
    if len(predictions) == 0:
        raise ValueError("zero predictions cannot be judged")
    for column in ("label", "prediction"):
        values = predictions[column]
        if values.min() < 0 or values.max() >= classes:
            raise ValueError(
                f"{column} must be in [0, {classes}), got {values.min()} to {values.max()}"
            )
    right = (predictions["prediction"] == predictions["label"]).to_numpy(np.float64)
    numbers = (f"{prefix}{name}" for prefix in ("", CALIBRATED) for name in ("confidence", "nll"))
    return {
        "label": predictions["label"].to_numpy(np.int64),
        "correct": right,
        **{name: predictions[name].to_numpy(np.float64) for name in numbers},
    }


def _metrics(judged: _Judged, classes: int) -> dict[str, float]:
    label, correct = judged["label"], judged["correct"]
    count = np.bincount(label, minlength=classes)
    present = count > 0
    recall = np.bincount(label, correct, minlength=classes)[present] / count[present]
    found = {"accuracy": float(correct.mean()), "mean_class_accuracy": float(recall.mean())}
    for prefix in ("", CALIBRATED):
        curve = bin_confidences(judged[f"{prefix}confidence"], correct, CALIBRATION_BINS)
        found[f"{prefix}nll"] = float(judged[f"{prefix}nll"].mean())
        found[f"{prefix}ece"] = expected_calibration_error(curve)
    return found


def _interval(draws: np.ndarray) -> Interval:
    low, high = np.quantile(draws, INTERVAL_QUANTILES)
    return float(low), float(high)
