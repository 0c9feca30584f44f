"""How much of a known relationship was learned."""

from jaxtyping import Float
from torch import Tensor

from pipeline.cotuning.knowledge import smoothed


def recovered_mass(
    relationship: Float[Tensor, "target source"], truth: Float[Tensor, "target source"]
) -> float:
    """The share of R that lies on the categories of each class in the true R, in [0, 1]."""
    return float(relationship.double().where(truth > 0, 0.0).sum(dim=1).mean())


def divergence_from_truth(
    relationship: Float[Tensor, "target source"], truth: Float[Tensor, "target source"]
) -> float:
    """KL(true row || learned row) in nats, the mean over classes; both rows are smoothed."""
    true, learned = smoothed(truth.double()), smoothed(relationship.double())
    return float((true * (true.log() - learned.log())).sum(dim=1).mean())
