"""How good predictions are, and how sure that is.

A predictions table has a row an image: row (of the image), label and prediction (classes, from
0), confidence (the top probability, in (0, 1]) and nll (of the true label, in nats); the last two
also as calibrated_confidence and calibrated_nll, at the method's own temperature.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.cotuning.reliability import bin_confidences, expected_calibration_error

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


def mean_metrics(samples: Sequence[pd.DataFrame], classes: int) -> dict[str, float]:
    """classification_metrics, mean over samples."""
    found = pd.DataFrame(classification_metrics(predictions, classes) for predictions in samples)
    return {str(name): float(value) for name, value in found.mean().items()}


def bootstrap_intervals(
    samples: Sequence[pd.DataFrame], classes: int, resamples: int, seed: int
) -> dict[str, Interval]:
    """95% bootstrap interval of every metric of classification_metrics, mean over samples.

    Samples are resampled, then the images of each: what one sample alone cannot tell, the drawing
    of the sample and the training, is covered only where there are several.

    Percentile intervals. That of ece is moved by the bootstrap's estimate of its bias: drawing
    images anew adds noise to every bin and with it to ece, so the plain percentiles lie too high
    and may leave out the estimate itself (in a simulation with 200 images they covered the truth
    75% of the time, moved 95%). ece of few images is itself too high, and so is its interval
    where the truth is near 0.

    Args:
        samples: predictions of one method, of each sample.
        resamples: how many data sets are drawn; 1,000 give two stable digits.
        seed: the same seed gives the same intervals.

    Raises:
        ValueError: there is no prediction, or a class is out of range.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 10 and 13.
    """
    judged = [_judged(predictions, classes) for predictions in samples]
    estimate = mean_metrics(samples, classes)

    def at(number: int, images: np.ndarray) -> list[float]:
        some = {name: of[images] for name, of in judged[number].items()}
        return list(_metrics(some, classes).values())

    sizes = [len(predictions) for predictions in samples]
    means = [
        np.mean([at(*part) for part in drawn], axis=0)
        for drawn in resampled(sizes, resamples, seed)
    ]
    draws = pd.DataFrame(means, columns=list(estimate))
    for name in ("ece", f"{CALIBRATED}ece"):
        bias = draws[name].mean() - estimate[name]
        draws[name] = (draws[name] - bias).clip(0, 1)
    return {name: percentile_interval(draws[name].to_numpy()) for name in estimate}


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


def resampled(
    sizes: Sequence[int], resamples: int, seed: int
) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Draw samples, with replacement, then as many images of each as it has.

    Args:
        sizes: of the samples, in images.

    Returns:
        Of each resample the samples' numbers, each with the numbers of its images.
    """
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        chosen = generator.integers(0, len(sizes), len(sizes))
        yield [(int(one), generator.integers(0, sizes[one], sizes[one])) for one in chosen]


def percentile_interval(draws: np.ndarray) -> Interval:
    """The middle 95%."""
    low, high = np.quantile(draws, INTERVAL_QUANTILES)
    return float(low), float(high)
