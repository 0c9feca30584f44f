"""Logistic regressions from probabilities to classes, from strong to weak regularization."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .multinomial import Curvature, Point, Regression, minimise

INVERSE_REGULARIZATIONS = (
    *(1e4, 3e3, 1e3, 3e2, 1e2, 3e1, 1e1, 3.0, 1.0),
    *(3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4),
)
LARGE = 30_000_000  # multiplications of a product from which float32 and more threads pay
LEAST_SHARE = 1e-8  # of a category in float32; below its rounding, and not slow as denormals are
ORDERS = 3  # of the polynomials that go on with the path
CLOSE = 1e-2  # gradient's norm to the weight's, on the way to a strength
CONVERGED = 1e-5  # the same, at the end

# Logits [watched, target], and by how much a difference of two of a row can still be wrong.
Decided = Callable[[Tensor, Tensor], bool]


def regularization_path(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    watched: Float[Tensor, "watched source"],
    target_classes: int,
    decided: Decided,
    values: Sequence[float] = INVERSE_REGULARIZATIONS,
) -> Iterator[tuple[float, Float[Tensor, "source target"], Float[Tensor, "watched target"]]]:
    r"""Each C from the strongest regularization on, with its weight and logits of watched samples.

    A fit starts where a polynomial in log C through its stronger neighbours leads, and goes on
    until the logits are decided. The penalised loss is strongly convex, so that at a gradient g the
    weight is at most \|g\| from the optimum, and a difference of two logits of a sample x at most
    \sqrt 2 \|x\| \|g\|.

    Large problems are solved in float32.
    """
    large = probabilities.numel() * target_classes >= LARGE
    dtype = torch.float32 if large else torch.float64
    regression = Regression(_joined(probabilities, watched, dtype), labels.long(), target_classes)
    lengths = math.sqrt(2) * regression.watched.norm(dim=1)
    curvature = Curvature()
    path: list[tuple[float, Point]] = []

    def done(point: Point, gradient: float) -> bool:
        if not len(lengths):
            return gradient <= CLOSE * float(point.weight.norm())
        return decided(point.logits[len(labels) :], lengths * gradient)

    for c in sorted(values):
        strength = _strength(c, target_classes)
        with torch.no_grad(), _threads(large):
            start = _continued(regression, path, strength)
            point = minimise(regression, strength, start, curvature, done)
        path = [*path[-ORDERS:], (strength, point)]
        yield c, point.weight, point.logits[len(labels) :]


def converged(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    c: float,
    near: Float[Tensor, "source target"],
) -> Float[Tensor, "target source"]:
    """The weight at C in float64, from one near to it; its gradient is at most 1e-5 of it."""
    classes = near.shape[1]
    regression = Regression(probabilities.double(), labels.long(), classes)

    def done(point: Point, gradient: float) -> bool:
        return gradient <= CONVERGED * float(point.weight.norm())

    with torch.no_grad(), _threads(probabilities.numel() * classes >= LARGE):
        start = regression.at(near.double())
        point = minimise(regression, _strength(c, classes), start, Curvature(), done)
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
    *_, (_, near, _) = path
    return converged(probabilities, labels, c, near)


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


def _joined(first: Tensor, second: Tensor, dtype: torch.dtype) -> Tensor:
    joined = torch.empty(len(first) + len(second), first.shape[1], dtype=dtype)
    joined[: len(first)], joined[len(first) :] = first, second
    if dtype == torch.float32:
        joined[joined < LEAST_SHARE] = 0.0
    return joined


@contextmanager
def _threads(large: bool) -> Iterator[None]:
    """Small products lose far more to waiting threads than they gain, on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if large else 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
