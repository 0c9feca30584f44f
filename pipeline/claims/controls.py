"""What stands in place of the learned relationship to show whether it matters."""

import torch
from torch import Tensor


def control(relationship: Tensor, source_marginal: Tensor, kind: str, seed: int) -> Tensor:
    """R [target, source] itself (`learned`), or what shows whether the learned R matters.

    `uniform` and `marginal` rows know nothing of the classes; `shuffled` rows are the learned
    ones, each given to another class.
    """
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
