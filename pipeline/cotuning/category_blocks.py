"""The curvature of a multinomial regression on probabilities, one block a source category."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

FEWEST_CLASSES = 20  # up to which a block is made of all samples
FEW_CLASSES = 100  # up to which a block is kept as a whole
SAMPLES = 64  # of most probability, that a block of more classes knows exactly
NUMBERS = 64_000_000  # in the samples of all blocks together, at most
CURVED = 3.0  # curvature of a category from which its block pays; that of the penalty is 1
JITTER = 1e-5  # added to a correlation of 1, so that rounding leaves it positive
ROWS = 1024
LEAST_SHARE = 1e-8  # of a category; below the rounding of the others, and not slow as denormals are

Preconditioner = Callable[[Tensor], Tensor]
Divide = Callable[[Tensor, Tensor], Tensor]  # a gradient, by its blocks; also given by the diagonal


@dataclass(frozen=True, eq=False)
class CategoryBlocks:
    """What is needed of the samples to approximate the curvature in the weights of each category.

    Source predictions are peaked: the weights of two categories hardly touch each other, but in
    those of one category the target classes compete for the same samples. So the curvature is close
    to blocks [target, target], one a category.

    All in float32, which is enough for a preconditioner.

    Attributes:
        train: the samples x.
        nearest: of each category the samples that have most of it.
        shares: their probabilities of it.
    """

    train: Float[Tensor, "batch source"]
    nearest: Int[Tensor, "source nearest"]
    shares: Float[Tensor, "source nearest"]

    @classmethod
    def of(cls, train: Float[Tensor, "batch source"], target_classes: int) -> "CategoryBlocks":
        nearest = max(NUMBERS // (train.shape[1] * target_classes), 1)
        if target_classes > FEW_CLASSES:
            nearest = min(nearest, SAMPLES)
        elif target_classes <= FEWEST_CLASSES:
            nearest = 0
        if train.dtype != torch.float32:
            train = in_float32(train)
        found = train.topk(min(nearest, len(train)), dim=0)
        return cls(train, found.indices.T.contiguous(), found.values.T.contiguous())

    def preconditioner(
        self, probabilities: Float[Tensor, "batch target"], c: float
    ) -> Preconditioner:
        r"""The inverse of the blocks, at the fitted probabilities p of the training samples.

        A sample adds :math:`C x_s^2 (\mathrm{diag}(p) - p p^T)` to the block of category s. The
        diagonal part is taken of all samples, the rest of the nearest ones: that is above the
        block, never below it.
        """
        probabilities = probabilities.float()
        diagonal = 1 + c * _squares_times(self.train, probabilities)
        curved = (diagonal.amax(dim=1) > CURVED).nonzero()[:, 0]
        if not len(curved):
            return lambda gradient: gradient / diagonal
        correct = self._divide(probabilities, c, diagonal, curved)

        def apply(gradient: Tensor) -> Tensor:
            rounded = gradient.float()
            found = rounded / diagonal
            found[curved] = correct(rounded[curved], found[curved])
            return found.to(gradient.dtype)

        return apply

    def _divide(self, probabilities: Tensor, c: float, diagonal: Tensor, curved: Tensor) -> Divide:
        classes = probabilities.shape[1]
        if classes <= FEWEST_CLASSES:
            pairs = (probabilities[:, :, None] * probabilities[:, None, :]).flatten(1)
            products = c * _squares_times(self.train, pairs)[curved]
            return _dense(products.unflatten(1, (classes, classes)), diagonal[curved])
        rows = probabilities[self.nearest[curved]] * (c**0.5 * self.shares[curved])[:, :, None]
        if classes <= FEW_CLASSES:
            return _dense(torch.bmm(rows.mT, rows), diagonal[curved])
        return _low_rank(rows, diagonal[curved])


def _dense(
    products: Float[Tensor, "curved target target"], diagonal: Float[Tensor, "curved target"]
) -> Divide:
    """Divide by D - B^T B, from its inverse; by D alone where rounding left that not positive."""
    low, failed = torch.linalg.cholesky_ex(torch.diag_embed(diagonal * (1 + JITTER)) - products)
    low = torch.where(failed[:, None, None] > 0, torch.diag_embed(diagonal.sqrt()), low)
    inverse = torch.cholesky_inverse(low)
    return lambda gradient, divided: torch.bmm(inverse, gradient[:, :, None])[:, :, 0]


def _low_rank(
    rows: Float[Tensor, "curved nearest target"], diagonal: Float[Tensor, "curved target"]
) -> Divide:
    """Divide by D - B^T B: D^-1 + E^T E with L E = B D^-1, L L^T = I - B D^-1 B^T (Woodbury).

    By D alone where rounding left that not positive.
    """
    scaled = rows / diagonal[:, None, :]
    one = (1 + JITTER) * torch.eye(rows.shape[1], dtype=rows.dtype)
    low, failed = torch.linalg.cholesky_ex(torch.baddbmm(one, scaled, rows.mT, alpha=-1))
    low = torch.where(failed[:, None, None] > 0, one, low)
    root = torch.linalg.solve_triangular(low, scaled, upper=False)
    root = root.masked_fill(failed[:, None, None] > 0, 0.0)

    def divide(gradient: Tensor, divided: Tensor) -> Tensor:
        inner = torch.bmm(root, gradient[:, :, None])
        return divided + torch.bmm(inner.mT, root)[:, 0]

    return divide


def in_float32(samples: Float[Tensor, "batch source"]) -> Float[Tensor, "batch source"]:
    samples = samples.float()
    return samples.masked_fill(samples < LEAST_SHARE, 0.0)


def _squares_times(
    x: Float[Tensor, "batch source"], y: Float[Tensor, "batch target"]
) -> Float[Tensor, "source target"]:
    """(x * x)^T y, without x * x as a whole."""
    found = x.new_zeros(x.shape[1], y.shape[1])
    for some, others in zip(x.split(ROWS), y.split(ROWS), strict=True):
        found.addmm_(some.square().T, others)
    return found
