"""Logistic regressions from probabilities to classes, from strong to weak regularization."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .category_blocks import in_float32
from .multinomial import Curvature, Point, Regression, minimise

INVERSE_REGULARIZATIONS = (
    *(1e4, 3e3, 1e3, 3e2, 1e2, 3e1, 1e1, 3.0, 1.0),
    *(3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4),
)
LARGE = 30_000_000  # multiplications of a product from which float32 and more threads pay
ORDERS = 3  # of the polynomials that go on with the path
CLOSE = 1e-2  # gradient's norm to the weight's, on the way to a strength
CONVERGED = 1e-5  # the same, at the end

# Logits [watched, target], and by how much a difference of two of a row can still be wrong.
Decided = Callable[[Tensor, Tensor], bool]


class Fit(NamedTuple):
    """A regression as far as it had to be fitted.

    Attributes:
        c: its inverse regularization.
        weight: [source, target].
        logits: that it gives to the watched samples.
        curvature: what was learned of the loss on the way.
    """

    c: float
    weight: Float[Tensor, "source target"]
    logits: Float[Tensor, "watched target"]
    curvature: Curvature


def regularization_path(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    watched: Float[Tensor, "watched source"],
    target_classes: int,
    decided: Decided,
    values: Sequence[float] = INVERSE_REGULARIZATIONS,
) -> Iterator[Fit]:
    r"""A fit for each C, from the strongest regularization on.

    A fit starts where a polynomial in log C through its stronger neighbours leads, and goes on
    until the logits are decided. The penalised loss is strongly convex, so that at a gradient g the
    weight is at most \|g\| from the optimum, and a difference of two logits of a sample x at most
    \sqrt 2 \|x\| \|g\| from that there.

    Large problems are solved in float32.
    """
    large = probabilities.numel() * target_classes >= LARGE
    in_precision = in_float32 if large else torch.Tensor.double
    samples, watched = in_precision(probabilities), in_precision(watched)
    regression = Regression(samples, labels.long(), target_classes)
    lengths = math.sqrt(2) * watched.norm(dim=1)
    curvature = Curvature()
    path: list[tuple[float, Point]] = []
    for c in sorted(values):
        strength = _strength(c, target_classes)
        with torch.no_grad(), _threads(large):
            start = _continued(regression, path, strength)
            done = _Watch(watched, lengths, decided)
            point, curvature = minimise(regression, strength, start, curvature, done)
            logits = watched @ point.weight
        path = [*path[-ORDERS:], (strength, point)]
        yield Fit(c, point.weight, logits, curvature)


class _Watch:
    """Looks at the watched samples whenever the gradient is shorter by a third."""

    def __init__(self, watched: Tensor, lengths: Tensor, decided: Decided) -> None:
        self.watched, self.lengths, self.decided = watched, lengths, decided
        self.below = math.inf

    def __call__(self, weight: Tensor, gradient: float) -> bool:
        if not len(self.watched):
            return gradient <= CLOSE * float(weight.norm())
        if gradient > self.below:
            return False
        self.below = gradient / 1.5
        return self.decided(self.watched @ weight, self.lengths * gradient)


def converged(
    probabilities: Float[Tensor, "batch source"], labels: Int[Tensor, " batch"], near: Fit
) -> Float[Tensor, "target source"]:
    """The weight in float64, from a fit near to it; its gradient is at most 1e-5 of it."""
    classes = near.weight.shape[1]
    regression = Regression(probabilities.double(), labels.long(), classes)

    def done(weight: Tensor, gradient: float) -> bool:
        return gradient <= CONVERGED * float(weight.norm())

    with torch.no_grad(), _threads(probabilities.numel() * classes >= LARGE):
        start, strength = regression.at(near.weight.double()), _strength(near.c, classes)
        point, _ = minimise(regression, strength, start, near.curvature, done)
    return point.weight.T.contiguous()


def fit_at(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
    c: float,
) -> Float[Tensor, "target source"]:
    """The weight at one C, by way of the stronger regularizations."""
    values = [value for value in INVERSE_REGULARIZATIONS if value < c]
    nothing = probabilities[:0]
    path = regularization_path(
        probabilities, labels, nothing, target_classes, lambda logits, wrong: True, [*values, c]
    )
    *_, last = path
    return converged(probabilities, labels, last)


def _continued(regression: Regression, path: list[tuple[float, Point]], c: float) -> Point:
    """Of polynomials through the last points, and the last point enlarged, the best to start at."""
    if not path:
        return regression.zero()
    last_c, last = path[-1]
    starts = [Point(last.weight * (c / last_c), last.logits * (c / last_c))]
    for order in range(min(ORDERS + 1, len(path))):
        starts.append(_extrapolated(path[-order - 1 :], c))
    return min(starts, key=lambda point: regression.value(point, c))


def _extrapolated(points: list[tuple[float, Point]], c: float) -> Point:
    """Lagrange's polynomial in log C."""
    shares = [
        math.prod(math.log(c / b) / math.log(a / b) for b, _ in points if b != a) for a, _ in points
    ]
    weight, logits = torch.zeros(()), torch.zeros(())
    for share, (_, point) in zip(shares, points, strict=True):
        weight, logits = weight + share * point.weight, logits + share * point.logits
    return Point(weight, logits)


def _strength(c: float, target_classes: int) -> float:
    """The authors' classifier of two classes penalises their log-odds, w_1 - w_0: twice as much."""
    return c / 2 if target_classes == 2 else c


@contextmanager
def _threads(large: bool) -> Iterator[None]:
    """Small products lose far more to waiting threads than they gain, on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if large else 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
