"""Temperature scaling of the source model, and how well calibrated a classifier is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.optimize import brentq, minimize_scalar
from torch import Tensor

from .diagnostics import leep_conditional, leep_log_predictor
from .reliability import ReliabilityCurve, bin_confidences

TARGET_LIKELIHOOD_BOUNDS = (1 / 8, 8.0)
GRID_POINTS = 25


@dataclass(frozen=True)
class TemperatureFit:
    """A fitted temperature T (probabilities are softmax(logits / T)).

    Attributes:
        temperature: T > 0.
        nll: mean negative log-likelihood at T, in nats.
        at_bound: the optimum lies on the bound of the search, so T itself means little.
    """

    temperature: float
    nll: float
    at_bound: bool


def fit_temperature(
    logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, " batch"],
    bounds: tuple[float, float] = (1e-2, 1e2),
) -> TemperatureFit:
    """Find the temperature that minimises the negative log-likelihood of the labels.

    The likelihood is convex in 1/T, so the root of its derivative, mean(E_p[z] - z_y), is
    bracketed and found by Brent's method; LBFGS can diverge on badly scaled logits.

    Args:
        logits: any real numbers.
        labels: in [0, classes).
        bounds: smallest and largest T that are considered.

    Raises:
        ValueError: there is no sample.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
    """
    if len(labels) == 0:
        raise ValueError("cannot fit a temperature to zero samples")
    logits = logits.double()
    true_logits = logits.gather(1, labels[:, None].long())[:, 0]

    def derivative(inverse_temperature: float) -> float:
        probabilities = F.softmax(logits * inverse_temperature, dim=1)
        return float(((probabilities * logits).sum(dim=1) - true_logits).mean())

    low, high = 1 / bounds[1], 1 / bounds[0]
    if derivative(low) >= 0:
        inverse, at_bound = low, True
    elif derivative(high) <= 0:
        inverse, at_bound = high, True
    else:
        inverse, at_bound = float(brentq(derivative, low, high, xtol=1e-12)), False
    nll = float(F.cross_entropy(logits * inverse, labels.long()))
    return TemperatureFit(1 / inverse, nll, at_bound)


def fit_target_likelihood_temperature(
    train_logits: Float[Tensor, "train source"],
    train_labels: Int[Tensor, " train"],
    validation_logits: Float[Tensor, "validation source"],
    validation_labels: Int[Tensor, " validation"],
    target_classes: int,
) -> TemperatureFit:
    """Find the temperature of the source model without any labelled source image.

    Maximises over T in [1/8, 8] the held-out likelihood of the target labels under the
    empirical predictor p_T(y | x) = sum_s P_T(y | s) p_T(s | x), with P_T estimated on the
    training split. That is the temperature at which the source predictions say most about the
    target labels; it need not be the one that calibrates the model on source images. The
    likelihood may have several peaks, so a grid in log T finds the highest and a bounded search
    refines it.

    Args:
        train_logits, validation_logits: source logits of the two splits.
        train_labels, validation_labels: target classes, in [0, target_classes).
        target_classes: at least 2.

    Raises:
        ValueError: one of the splits is empty.

    Source: the predictor is that of Nguyen et al., LEEP, ICML 2020, section 3.
    """
    if len(train_labels) == 0 or len(validation_labels) == 0:
        raise ValueError("target likelihood needs a training and a validation sample, got none")
    train_logits, validation_logits = train_logits.double(), validation_logits.double()

    def held_out_nll(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        conditional = leep_conditional(
            F.softmax(train_logits / temperature, dim=1), train_labels, target_classes
        )
        log_predictor = leep_log_predictor(
            F.softmax(validation_logits / temperature, dim=1), conditional
        )
        return float(F.nll_loss(log_predictor, validation_labels.long()))

    log_temperature, nll, at_bound = _minimize_on_grid(
        held_out_nll, np.log(np.geomspace(*TARGET_LIKELIHOOD_BOUNDS, GRID_POINTS))
    )
    return TemperatureFit(float(np.exp(log_temperature)), nll, at_bound)


def _minimize_on_grid(
    function: Callable[[float], float], grid: np.ndarray
) -> tuple[float, float, bool]:
    values = [function(point) for point in grid]
    best = int(np.argmin(values))
    bracket = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    refined = minimize_scalar(function, bounds=bracket, method="bounded")
    if refined.fun < values[best]:
        point, value = float(refined.x), float(refined.fun)
    else:
        point, value = float(grid[best]), values[best]
    tolerance = 1e-3
    at_bound = point - grid[0] < tolerance or grid[-1] - point < tolerance
    return point, value, bool(at_bound)


def reliability_curve(
    probabilities: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"], bins: int = 15
) -> ReliabilityCurve:
    """Compare confidence with accuracy in equal-width bins (a, b] of the top probability.

    Args:
        probabilities: rows sum to 1.
        labels: in [0, classes).
        bins: how many bins split [0, 1].

    Source: Guo et al., ICML 2017, section 2.
    """
    top, predicted = probabilities.double().max(dim=1)
    correct = (predicted == labels).double().numpy()
    return bin_confidences(top.numpy(), correct, bins)
