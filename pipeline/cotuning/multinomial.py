"""Multinomial logistic regression without intercept on probabilities, by preconditioned L-BFGS."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .category_blocks import CategoryBlocks, Preconditioner

MEMORY = 12  # pairs of L-BFGS
MEMORY_NUMBERS = 32_000_000  # in all pairs together, at most
ITERATIONS = 2000
REFRESH = 30  # iterations after which the preconditioner is made anew
SLOPE = 0.3  # of the first slope; what a line search may leave of it
TRIES = 8  # of a line search
LEAST = 1e-20  # of a fitted probability; products of smaller ones are slow denormal numbers


class Point(NamedTuple):
    """A weight, and the logits that it gives to all samples; these are linear in it."""

    weight: Float[Tensor, "source target"]
    logits: Float[Tensor, "batch target"]


@dataclass(frozen=True, eq=False)
class Regression:
    r"""What is minimised over the weight W, [source, target].

    .. math:: \tfrac12 \|W\|^2 - C \sum_i \log \mathrm{softmax}(x_i W)_{y_i}

    Attributes:
        samples: x, non-negative.
        labels: y, in [0, target_classes).
        target_classes: at least 2.
    """

    samples: Float[Tensor, "batch source"]
    labels: Int[Tensor, " batch"]
    target_classes: int

    @cached_property
    def blocks(self) -> CategoryBlocks:
        return CategoryBlocks.of(self.samples, self.target_classes)

    @cached_property
    def rounding(self) -> float:
        """Below this times C a gradient is rounding."""
        return torch.finfo(self.samples.dtype).eps * float(self.samples.norm())

    def zero(self) -> Point:
        """The optimum at C = 0."""
        return self.at(self.samples.new_zeros(self.samples.shape[1], self.target_classes))

    def at(self, weight: Float[Tensor, "source target"]) -> Point:
        return Point(weight, self.samples @ weight)

    def value(self, point: Point, c: float) -> float:
        loss = F.cross_entropy(point.logits, self.labels, reduction="sum")
        return float(point.weight.square().sum()) / 2 + c * float(loss)

    def probabilities(self, logits: Float[Tensor, "batch target"]) -> Float[Tensor, "batch target"]:
        return F.softmax(logits, dim=1).clamp_(min=LEAST)

    def loss_gradient(
        self, probabilities: Float[Tensor, "batch target"]
    ) -> Float[Tensor, "source target"]:
        """Of the loss alone, without C. The probabilities are overwritten.

        p_y - 1 is made of the other classes' p, since nothing is left of it where p_y rounds to 1.
        """
        rows = torch.arange(len(self.labels))
        probabilities[rows, self.labels] = 0.0
        probabilities[rows, self.labels] = -probabilities.sum(dim=1)
        return (probabilities.T @ self.samples).T.contiguous()


class Pair(NamedTuple):
    """A step of L-BFGS, the change of the gradient along it, and the product of the two."""

    step: Tensor
    change: Tensor
    product: float


@dataclass(frozen=True, eq=False)
class Curvature:
    """The last pairs of L-BFGS, at a C; what is learned at one C serves at the next."""

    c: float = 1.0
    pairs: tuple[Pair, ...] = ()

    def moved_to(self, c: float, dtype: torch.dtype) -> "Curvature":
        """The penalty's part of a gradient's change is the step, the loss' part grows with C."""
        found, ratio = Curvature(c), c / self.c
        for pair in self.pairs:
            step = pair.step.to(dtype)
            found = found.after(step, torch.add((1 - ratio) * step, pair.change, alpha=ratio))
        return found

    def after(self, step: Tensor, change: Tensor) -> "Curvature":
        product = float(step.flatten() @ change.flatten())
        if product <= 0:
            return self
        kept = max(min(MEMORY, MEMORY_NUMBERS // (2 * step.numel())), 2)
        return Curvature(self.c, (*self.pairs[1 - kept :], Pair(step, change, product)))

    def direction(self, gradient: Tensor, precondition: Preconditioner) -> Tensor:
        """Downhill, by the two loops of L-BFGS.

        Source: Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 7.4.
        """
        rest, shares = gradient.clone(), []
        for step, change, product in reversed(self.pairs):
            shares.append(float(step.flatten() @ rest.flatten()) / product)
            rest.sub_(change, alpha=shares[-1])
        found = precondition(rest)
        for (step, change, product), share in zip(self.pairs, reversed(shares), strict=True):
            back = float(change.flatten() @ found.flatten()) / product
            found.add_(step, alpha=share - back)
        return found.neg_()


def minimise(
    regression: Regression,
    c: float,
    start: Point,
    curvature: Curvature,
    done: Callable[[Tensor, float], bool],
) -> tuple[Point, Curvature]:
    """Go down from start until `done` says so of a weight and of the norm of its gradient.

    An iteration passes over the samples twice, for the logits along a direction and for the
    gradient at its end; the line search between them needs no pass.
    """
    probabilities = regression.probabilities(start.logits)
    precondition = regression.blocks.preconditioner(probabilities, c)
    loss_gradient = regression.loss_gradient(probabilities)
    point = start
    curvature = curvature.moved_to(c, start.weight.dtype)
    for number in range(1, ITERATIONS):
        gradient = torch.add(point.weight, loss_gradient, alpha=c)
        norm = float(gradient.norm())
        if norm <= c * regression.rounding or done(point.weight, norm):
            break
        if number % REFRESH == 0:
            probabilities = regression.probabilities(point.logits)
            precondition = regression.blocks.preconditioner(probabilities, c)
        step = regression.at(curvature.direction(gradient, precondition))
        slope = float((gradient * step.weight).sum())
        length, probabilities = _line_search(regression, c, point, step, slope)
        point = Point(*(a.add(b, alpha=length) for a, b in zip(point, step, strict=True)))
        before, loss_gradient = loss_gradient, regression.loss_gradient(probabilities)
        moved = step.weight.mul_(length)
        change = torch.add(moved, loss_gradient - before, alpha=c)
        curvature = curvature.after(moved, change)
    return point, curvature


def _line_search(
    regression: Regression, c: float, point: Point, step: Point, slope: float
) -> tuple[float, Float[Tensor, "batch target"]]:
    """A length at which little of the slope is left, by Newton's method within a bracket.

    Returns:
        The length, and the probabilities of the training samples there.
    """
    along = step.logits
    linear = float((point.weight * step.weight).sum())
    linear -= c * float(along.gather(1, regression.labels[:, None]).sum())
    quadratic = float(step.weight.square().sum())
    length, low, high = 1.0, 0.0, float("inf")
    for trial in range(TRIES):
        probabilities = regression.probabilities(torch.add(point.logits, along, alpha=length))
        weighted = probabilities * along
        means = weighted.sum(dim=1)
        here = linear + length * quadratic + c * float(means.sum())
        if abs(here) <= SLOPE * abs(slope) or trial == TRIES - 1:
            break
        low, high = (low, length) if here > 0 else (length, high)
        bend = quadratic + c * float((weighted * along).sum() - means.square().sum())
        proposed = length - here / bend
        if not low < proposed < high:
            proposed = (low + high) / 2 if high < float("inf") else 2 * length
        length = proposed
    return length, probabilities
