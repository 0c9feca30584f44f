"""How well calibrated predictions are: plain arrays, without torch, which takes long to load."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ReliabilityCurve:
    """Confidence against accuracy in equal-width bins of confidence; empty bins are left out.

    Attributes:
        confidence: mean confidence of each bin, in (0, 1].
        accuracy: fraction of correct predictions of each bin, in [0, 1].
        count: samples of each bin, at least 1.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def bin_confidences(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15
) -> ReliabilityCurve:
    """The reliability curve of predictions given as confidence [N] and correctness [N] (0 or 1)."""
    index = np.searchsorted(np.arange(1, bins) / bins, confidence)
    count = np.bincount(index, minlength=bins)
    filled = count > 0
    mean_confidence = np.bincount(index, confidence, bins)[filled] / count[filled]
    accuracy = np.bincount(index, correct, bins)[filled] / count[filled]
    return ReliabilityCurve(mean_confidence, accuracy, count[filled])


def expected_calibration_error(curve: ReliabilityCurve) -> float:
    """Mean gap between confidence and accuracy, weighted by the samples of each bin, in [0, 1].

    Source: Guo et al., ICML 2017, equation 3.
    """
    weight = curve.count / curve.count.sum()
    return float((weight * np.abs(curve.accuracy - curve.confidence)).sum())
