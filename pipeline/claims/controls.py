"""What stands in place of the learned relationship to show whether it matters."""

import torch
from torch import Tensor


def control(
    relationship: Tensor,
    source_marginal: Tensor,
    kind: str,
    seed: int,
    truth: Tensor | None = None,
) -> Tensor:
    """R [target, source] itself (`learned`), or what shows whether the learned R matters.

    `uniform` and `marginal` rows know nothing of the classes; `shuffled` rows are the learned
    ones, each given to another class; `truth` is the R by which the images were made, where it is
    known.

    Raises:
        ValueError: the true R is asked for and not known.
    """
    if kind == "truth":
        if truth is None:
            raise ValueError("the true relationship of these images is not known")
        return truth
    if kind == "uniform":
        return torch.full_like(relationship, 1 / relationship.shape[1])
    if kind == "marginal":
        return source_marginal.expand_as(relationship)
    if kind == "shuffled":
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(relationship), generator=generator)
        # Along one cycle through all classes, so that none keeps its row.
        return relationship[order.roll(1)[order.argsort()]]
    return relationship
