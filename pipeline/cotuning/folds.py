"""Folds of labelled samples."""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor


def stratified_folds(
    labels: Int[Tensor, " batch"], folds: int, seed: int = 0
) -> Iterator[tuple[Int[Tensor, " kept"], Int[Tensor, " held_out"]]]:
    """Indices of the samples to learn from and of those held out, each sample held out once.

    The samples of each class are dealt out in a random order. A class of one sample is never
    held out, so that every class can be learned in every fold; a fold that holds out nothing is
    left out.
    """
    generator = torch.Generator().manual_seed(seed)
    fold = torch.full_like(labels, -1)
    dealt = 0
    for members in (torch.nonzero(labels == label)[:, 0] for label in labels.unique()):
        if len(members) > 1:
            order = members[torch.randperm(len(members), generator=generator)]
            fold[order] = (dealt + torch.arange(len(order))) % folds
            dealt += len(order)
    for number in range(folds):
        held_out = fold == number
        if held_out.any():
            yield torch.nonzero(~held_out)[:, 0], torch.nonzero(held_out)[:, 0]


def can_be_held_out(labels: Int[Tensor, " batch"]) -> bool:
    """Whether some class has a second sample, so that one can be held out."""
    return int(labels.bincount().max()) >= 2


def require_held_out(labels: Int[Tensor, " batch"]) -> None:
    """ValueError where no sample can be held out."""
    if not can_be_held_out(labels):
        raise ValueError("a sample of some class must be held out; every class has one only")
