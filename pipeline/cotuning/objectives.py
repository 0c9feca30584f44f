"""What a method minimises on a batch: the target loss and the terms of the parts it is made of."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.cotuning.losses import translated_cross_entropy
from pipeline.cotuning.model import Outputs

# A CoTuningModel, images [batch, channel, height, width] and labels [batch] to named
# terms of the loss.
Objective = Callable[[nn.Module, Tensor, Tensor], dict[str, Tensor]]
# Images, what the model made of them, and labels to named terms of the loss.
Terms = Callable[[Tensor, Outputs, Tensor], dict[str, Tensor]]


def _no_terms(images: Tensor, outputs: Outputs, labels: Tensor) -> dict[str, Tensor]:
    return {}


@dataclass(frozen=True)
class Part:
    """What a method adds to ordinary fine-tuning.

    Attributes:
        terms: of the loss, beside the target loss.
        uses_source_head: the terms need the source logits.
        replaces_weight_decay: the optimizer is to decay no weights.
        needs_whole_batch: what it does to a batch is not the mean of what it does to its parts.
    """

    terms: Terms = _no_terms
    uses_source_head: bool = False
    replaces_weight_decay: bool = False
    needs_whole_batch: bool = False


def compose(*parts: Part) -> Objective:
    """The cross-entropy of the target head and the terms of all parts, from one pass.

    The source head runs only where a part needs it. Without parts it is ordinary fine-tuning.
    """
    with_source = any(part.uses_source_head for part in parts)

    def objective(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs: Outputs = model(images, with_source)
        terms = {"target_loss": F.cross_entropy(outputs.target_logits.float(), labels)}
        for part in parts:
            terms |= part.terms(images, outputs, labels)
        return terms

    return objective


vanilla = compose()


def co_tuning(relationship: Float[Tensor, "target source"], source_weight: float) -> Part:
    """The translated source loss, times source_weight (lambda >= 0).

    With source_weight 0 it adds nothing, in result and in cost: that is vanilla fine-tuning.

    Raises:
        ValueError: source_weight is negative.

    Source: You et al., NeurIPS 2020, equation 1.
    """
    if source_weight < 0:
        raise ValueError(f"source_weight must be at least 0, got {source_weight}")
    if source_weight == 0:
        return Part()

    def terms(images: Tensor, outputs: Outputs, labels: Tensor) -> dict[str, Tensor]:
        assert outputs.source_logits is not None, "compose() runs the source head"
        loss = translated_cross_entropy(outputs.source_logits, labels, relationship)
        return {"source_loss": source_weight * loss}

    return Part(terms, uses_source_head=True)
