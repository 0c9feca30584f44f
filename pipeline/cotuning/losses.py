"""The Co-Tuning loss: target labels and translated source labels supervise together."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def translated_cross_entropy(
    source_logits: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    relationship: Float[Tensor, "target source"],
) -> Float[Tensor, ""]:
    r"""Cross-entropy of the source head against the translated labels.

    .. math:: -\frac{1}{N} \sum_i \sum_s R[y_i, s] \log \mathrm{softmax}(z_i)_s

    Args:
        source_logits: output of the source head, any real numbers.
        labels: target classes, in [0, target).
        relationship: R[t] = p(y_s | y_t = t), each row sums to 1.

    Returns:
        Mean over the batch, in nats, computed in float32.

    Raises:
        ValueError: the two category counts differ, or the batch sizes differ.
        IndexError: a label is out of range (on a GPU, the device's own assertion fails).

    Source: You et al., Co-Tuning for Transfer Learning, NeurIPS 2020, section 3.1.
    """
    if source_logits.shape[1] != relationship.shape[1]:
        raise ValueError(
            "Shape mismatch: source_logits has "
            f"{tuple(source_logits.shape)} and relationship {tuple(relationship.shape)}; "
            "their last sizes, the number of source categories, must agree"
        )
    if len(source_logits) != len(labels):
        raise ValueError(
            f"Shape mismatch: source_logits has {tuple(source_logits.shape)} and "
            f"labels {tuple(labels.shape)}; their first sizes, the batch, must agree"
        )
    translated_labels = F.embedding(labels.long(), relationship.float())
    return F.cross_entropy(source_logits.float(), translated_labels)


def co_tuning_loss(
    target_logits: Float[Tensor, "batch target"],
    source_logits: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    relationship: Float[Tensor, "target source"],
    source_weight: float = 2.3,
) -> Float[Tensor, ""]:
    r"""Supervise both heads on one batch: CE(target head, y) + lambda * CE(source head, R[y]).

    Args:
        target_logits: output of the target head.
        source_logits: output of the source head, on the same features.
        labels: target classes, in [0, target).
        relationship: R[t] = p(y_s | y_t = t), each row sums to 1.
        source_weight: lambda >= 0; 0 is vanilla fine-tuning, 2.3 the authors' default.

    Returns:
        Mean over the batch, in nats, computed in float32.

    Raises:
        ValueError: source_weight is negative, or the shapes do not fit together.

    Source: You et al., NeurIPS 2020, equation 1; the default is that of the authors' code
    (github.com/thuml/CoTuning).

    >>> import torch
    >>> uniform = torch.full((2, 4), 0.25)
    >>> labels = torch.tensor([0, 1])
    >>> loss = co_tuning_loss(torch.zeros(2, 2), torch.zeros(2, 4), labels, uniform, 1.0)
    >>> round(float(loss), 4)  # log(2) + log(4)
    2.0794
    """
    if source_weight < 0:
        raise ValueError(f"source_weight must be at least 0, got {source_weight}")
    if target_logits.shape[1] != len(relationship):
        raise ValueError(
            f"Shape mismatch: target_logits has {tuple(target_logits.shape)} and relationship "
            f"{tuple(relationship.shape)}; the number of target classes must agree"
        )
    target_loss = F.cross_entropy(target_logits.float(), labels.long())
    if source_weight == 0:
        return target_loss
    return target_loss + source_weight * translated_cross_entropy(
        source_logits, labels, relationship
    )
