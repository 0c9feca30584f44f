"""What a method minimises on a batch: the target loss and the terms of the parts it is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from .losses import translated_cross_entropy
from .model import CoTuningModel, Outputs


class Batch(NamedTuple):
    """What an objective is computed on.

    Attributes:
        inputs: of the network, [batch, channel, height, width] where it is one of images.
        labels: target classes, [batch].
        rows: which images they are, [batch]; needed where a part has labels for each image.
        second_images: other crops of the same images; needed where a part compares two views.
    """

    inputs: Any
    labels: Tensor
    rows: Tensor | None = None
    second_images: Tensor | None = None

    @property
    def size(self) -> int:
        """How many samples it is made of: images, or sentences of which each word has a label."""
        return len(self.labels if self.rows is None else self.rows)


# A batch and what the model made of it to named terms of the loss.
Terms = Callable[[Batch, Outputs], dict[str, Tensor]]


def _no_terms(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
    return {}


@dataclass(frozen=True)
class Part:
    """What a method adds to ordinary fine-tuning.

    Attributes:
        terms: of the loss, beside the target loss.
        label_smoothing: share, in [0, 1), of each target label that goes to all classes alike.
        uses_source_head: the terms need the source logits.
        replaces_weight_decay: the optimizer is to decay no weights.
        needs_whole_batch: what it does to a batch is not the mean of what it does to its parts.
        needs_second_view: the batch is to hold second_images.
        keeps_statistics: batch normalisation is to go by the moving statistics and leave them.
        beside: what it trains and keeps beside the model; saved with the state of training.
    """

    terms: Terms = _no_terms
    label_smoothing: float = 0.0
    uses_source_head: bool = False
    replaces_weight_decay: bool = False
    needs_whole_batch: bool = False
    needs_second_view: bool = False
    keeps_statistics: bool = False
    beside: nn.Module | None = None


class Objective(nn.Module):
    """The cross-entropy of the target head and the terms of all parts, from one pass.

    The source head runs only where a part needs it. Without parts it is ordinary fine-tuning.
    Parameters and state are what the parts keep beside the model.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()
        self.parts = parts
        self.with_source = any(part.uses_source_head for part in parts)
        self.smoothing = max((part.label_smoothing for part in parts), default=0.0)
        self.needs_second_view = any(part.needs_second_view for part in parts)
        self.keeps_statistics = any(part.keeps_statistics for part in parts)
        self.beside = nn.ModuleList(part.beside for part in parts if part.beside is not None)

    def begin_training(self, model: CoTuningModel) -> None:
        """Put the model into the mode that its method trains in."""
        model.train()
        if self.keeps_statistics:
            model.keep_statistics()

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the loss of a CoTuningModel, to be summed."""
        outputs: Outputs = model(batch.inputs, self.with_source)
        logits = outputs.target_logits.float()
        target_loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.smoothing)
        terms = {"target_loss": target_loss}
        for part in self.parts:
            terms |= part.terms(batch, outputs)
        return terms


def compose(*parts: Part) -> Objective:
    """The objective of a method that is made of these parts."""
    return Objective(parts)


vanilla = compose()


def co_tuning(relationship: Float[Tensor, "target source"], source_weight: float) -> Part:
    """The translated source loss, times source_weight (lambda >= 0).

    With source_weight 0 it adds nothing, in result and in cost: that is vanilla fine-tuning.

    Raises:
        ValueError: source_weight is negative.

    Source: You et al., NeurIPS 2020, equation 1.
    """

    def loss(batch: Batch, source_logits: Tensor) -> Tensor:
        return translated_cross_entropy(source_logits, batch.labels, relationship)

    return _source_part(loss, source_weight)


def image_labels(
    source_labels: Float[Tensor, "image source"],
    rows: Int[Tensor, " image"],
    source_weight: float,
) -> Part:
    """The cross-entropy of the source head to a soft label of each image's own, times
    source_weight (lambda >= 0).

    With the source model's own predictions it is Learning without Forgetting; with
    `posterior_labels` the label also knows the image's class.

    Args:
        source_labels: p(s) of each training image, rows sum to 1.
        rows: of these images, as in `Batch.rows`.

    Raises:
        ValueError: source_weight is negative.

    Source: Li and Hoiem, Learning without Forgetting, ECCV 2016, equation 2.
    """
    places = torch.full((int(rows.max()) + 1,), -1, device=source_labels.device)
    places[rows] = torch.arange(len(rows), device=source_labels.device)

    def loss(batch: Batch, source_logits: Tensor) -> Tensor:
        assert batch.rows is not None, "labels of images need to know which images they are of"
        return F.cross_entropy(source_logits.float(), source_labels[places[batch.rows]])

    return _source_part(loss, source_weight)


def _source_part(loss: Callable[[Batch, Tensor], Tensor], source_weight: float) -> Part:
    if source_weight < 0:
        raise ValueError(f"source_weight must be at least 0, got {source_weight}")
    if source_weight == 0:
        return Part()

    def terms(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        assert outputs.source_logits is not None, "compose() runs the source head"
        return {"source_loss": source_weight * loss(batch, outputs.source_logits)}

    return Part(terms, uses_source_head=True)
