"""What each method minimises on a batch, as named terms whose sum is the loss."""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.cotuning.losses import translated_cross_entropy
from pipeline.cotuning.model import CoTuningModel

Objective = Callable[[CoTuningModel, Tensor, Tensor], dict[str, Tensor]]


def vanilla(
    model: CoTuningModel,
    images: Float[Tensor, "batch channel height width"],
    labels: Int[Tensor, " batch"],
) -> dict[str, Tensor]:
    """Ordinary fine-tuning: the cross-entropy of the target head alone; no source head runs."""
    outputs = model(images, with_source=False)
    return {"target_loss": F.cross_entropy(outputs.target_logits.float(), labels)}


def co_tuning(relationship: Float[Tensor, "target source"], source_weight: float) -> Objective:
    """Target loss plus source_weight (lambda >= 0) times the translated source loss.

    With source_weight 0 it is `vanilla`, in result and in cost.

    Raises:
        ValueError: source_weight is negative.

    Source: You et al., NeurIPS 2020, equation 1.
    """
    if source_weight < 0:
        raise ValueError(f"source_weight must be at least 0, got {source_weight}")
    if source_weight == 0:
        return vanilla

    def objective(model: CoTuningModel, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = model(images)
        source_loss = translated_cross_entropy(outputs.source_logits, labels, relationship)
        return {
            "target_loss": F.cross_entropy(outputs.target_logits.float(), labels),
            "source_loss": source_weight * source_loss,
        }

    return objective
