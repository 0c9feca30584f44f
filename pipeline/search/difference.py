"""Evidence of candidates, image by image, and by how much two differ on the same images."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes half a second to load

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Evidence:
    """Of one candidate, image by image; the images and their order are the same for all.

    Attributes:
        losses: negative log-likelihood in nats at the candidate's own temperature.
        correct: share of the trainings that held the image out and were right on it.
    """

    losses: np.ndarray
    correct: np.ndarray


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences over images, its standard error and its 95% interval."""

    mean: float
    standard_error: float
    low: float
    high: float

    @property
    def with_interval(self) -> tuple[float, float, float]:
        """Mean, low, high."""
        return self.mean, self.low, self.high


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Second minus first; the interval by Student's t over the numbers of evidence.

    Raises:
        ValueError: there are fewer than two, or they are not of the same images.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"two or more pairs are needed, got {len(first)} and {len(second)}")
    differences = np.asarray(second) - np.asarray(first)
    mean = float(differences.mean())
    error = float(differences.std(ddof=1) / len(differences) ** 0.5)
    margin = error * float(stdtrit(len(differences) - 1, (1 + CONFIDENCE) / 2))
    return Difference(mean, error, mean - margin, mean + margin)
