"""Multinomial logistic regression without intercept on probabilities, by preconditioned L-BFGS."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .category_blocks import CategoryBlocks, Preconditioner

MEMORY = 20  # pairs of L-BFGS
MEMORY_NUMBERS = 64_000_000  # in all pairs together, at most
ITERATIONS = 2000
REFRESH = 30  # iterations after which the preconditioner is made anew
SLOPE = 0.1  # of the first slope; what a line search leaves of it
TRIES = 8  # of a line search
LEAST = 1e-20  # of a fitted probability; products of smaller ones are slow denormal numbers


class Point(NamedTuple):
    """A weight, and the logits that it gives to all samples; these are linear in it."""

    weight: Float[Tensor, "source target"]
    logits: Float[Tensor, "sample target"]


@dataclass(frozen=True, eq=False)
class Regression:
    r"""What is minimised over the weight W, [source, target].

    .. math:: \tfrac12 \|W\|^2 - C \sum_i \log \mathrm{softmax}(x_i W)_{y_i}

    Attributes:
        samples: x; first those with a label, then those that are only watched.
        labels: y, in [0, target_classes).
        target_classes: at least 2.
    """

    samples: Float[Tensor, "sample source"]
    labels: Int[Tensor, " batch"]
    target_classes: int

    @property
    def train(self) -> Float[Tensor, "batch source"]:
        return self.samples[: len(self.labels)]

    @property
    def watched(self) -> Float[Tensor, "watched source"]:
        return self.samples[len(self.labels) :]

    @cached_property
    def blocks(self) -> CategoryBlocks:
        return CategoryBlocks.of(self.train, self.target_classes)

    def zero(self) -> Point:
        """The optimum at C = 0."""
        return self.at(self.samples.new_zeros(self.samples.shape[1], self.target_classes))

    def at(self, weight: Float[Tensor, "source target"]) -> Point:
        return Point(weight, self.samples @ weight)

    def value(self, point: Point, c: float) -> float:
        loss = F.cross_entropy(point.logits[: len(self.labels)], self.labels, reduction="sum")
        return float(point.weight.square().sum()) / 2 + c * float(loss)

    def probabilities(
        self, logits: Float[Tensor, "sample target"]
    ) -> Float[Tensor, "batch target"]:
        return F.softmax(logits[: len(self.labels)], dim=1).clamp_(min=LEAST)

    def loss_gradient(
        self, probabilities: Float[Tensor, "batch target"]
    ) -> Float[Tensor, "source target"]:
        """Of the loss alone, without C. The probabilities are overwritten.

        p_y - 1 is made of the other classes' p, since nothing is left of it where p_y rounds to 1.
        """
        rows = torch.arange(len(self.labels))
        probabilities[rows, self.labels] = 0.0
        probabilities[rows, self.labels] = -probabilities.sum(dim=1)
        return self.train.T @ probabilities


@dataclass(eq=False)
class Curvature:
    """Steps of L-BFGS, and the change of the loss' gradient along each.

    C is no part of them, so that what is learned at one C serves at the next.
    """

    pairs: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def add(self, step: Tensor, change: Tensor) -> None:
        if (step * change).sum() > 0:
            kept = max(min(MEMORY, MEMORY_NUMBERS // (2 * step.numel())), 2)
            self.pairs = [*self.pairs[1 - kept :], (step, change)]

    def direction(self, gradient: Tensor, c: float, precondition: Preconditioner) -> Tensor:
        """Downhill, by the two loops of L-BFGS.

        Source: Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 7.4.
        """
        rest, passed = gradient.flatten().clone(), []
        for pair in reversed(self.pairs):
            step, change = (part.flatten() for part in pair)
            change = torch.add(step, change, alpha=c)
            curvature = float(step @ change)
            share = float(step @ rest) / curvature
            rest.sub_(change, alpha=share)
            passed.append((step, change, share, curvature))
        found = precondition(rest.view_as(gradient)).flatten()
        for step, change, share, curvature in reversed(passed):
            found.add_(step, alpha=share - float(change @ found) / curvature)
        return found.neg_().view_as(gradient)


def minimise(
    regression: Regression,
    c: float,
    start: Point,
    curvature: Curvature,
    done: Callable[[Point, float], bool],
) -> Point:
    """Go down from start until `done` says so of a point and of the norm of its gradient.

    An iteration passes over the samples twice, for the logits along a direction and for the
    gradient at its end; the line search between them needs no pass.
    """
    probabilities = regression.probabilities(start.logits)
    precondition = regression.blocks.preconditioner(probabilities, c)
    loss_gradient = regression.loss_gradient(probabilities)
    point = start
    for number in range(1, ITERATIONS):
        gradient = torch.add(point.weight, loss_gradient, alpha=c)
        if done(point, float(gradient.norm())):
            break
        if number % REFRESH == 0:
            probabilities = regression.probabilities(point.logits)
            precondition = regression.blocks.preconditioner(probabilities, c)
        step = regression.at(curvature.direction(gradient, c, precondition))
        slope = float((gradient * step.weight).sum())
        length, probabilities = _line_search(regression, c, point, step, slope)
        point = Point(*(a.add(b, alpha=length) for a, b in zip(point, step, strict=True)))
        before, loss_gradient = loss_gradient, regression.loss_gradient(probabilities)
        curvature.add(step.weight.mul_(length), loss_gradient - before)
    return point


def _line_search(
    regression: Regression, c: float, point: Point, step: Point, slope: float
) -> tuple[float, Float[Tensor, "batch target"]]:
    """The length at which a tenth of the slope is left, by Newton's method within a bracket.

    Returns:
        The length, and the probabilities of the training samples there.
    """
    count = len(regression.labels)
    along, logits = step.logits[:count], point.logits[:count]
    linear = float((point.weight * step.weight).sum())
    linear -= c * float(along.gather(1, regression.labels[:, None]).sum())
    quadratic = float(step.weight.square().sum())
    length, low, high = 1.0, 0.0, float("inf")
    for trial in range(TRIES):
        probabilities = regression.probabilities(torch.add(logits, along, alpha=length))
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
