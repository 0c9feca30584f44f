"""What the relationship and the source predictions say about a transfer, before any training."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class SimilarRows(NamedTuple):
    """Two target classes whose rows of R point the same way (cosine in [0, 1])."""

    first: int
    second: int
    cosine: float


def leep_conditional(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
) -> Float[Tensor, "target source"]:
    """Empirical conditional P(y | s) of target labels given soft source predictions.

    A source category of zero mass carries no information: its column is p(y).

    Args:
        probabilities: p(s | x_i), rows sum to 1.
        labels: in [0, target_classes).
        target_classes: number of rows of the result; columns sum to 1.

    Source: Nguyen et al., LEEP, ICML 2020, equations 1 and 2.
    """
    one_hot = torch.nn.functional.one_hot(labels.long(), target_classes).to(probabilities)
    joint = one_hot.T @ probabilities / len(labels)
    marginal = joint.sum(dim=0)
    prior = one_hot.mean(dim=0)[:, None].expand_as(joint)
    return torch.where(marginal > 0, joint / marginal.where(marginal > 0, 1), prior)


def leep_log_predictor(
    probabilities: Float[Tensor, "batch source"], conditional: Float[Tensor, "target source"]
) -> Float[Tensor, "batch target"]:
    """log sum_s P(y | s) p(s | x_i), floored at the smallest positive number of the type."""
    predictor = probabilities @ conditional.T
    return predictor.clamp_min(torch.finfo(predictor.dtype).tiny).log()


def leep_score(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
) -> float:
    """Mean log-likelihood of the labels under the LEEP predictor, in nats, at most 0.

    Higher means that the source predictions say more about the target classes.

    Source: Nguyen et al., LEEP, ICML 2020, equation 3.
    """
    conditional = leep_conditional(probabilities, labels, target_classes)
    log_predictor = leep_log_predictor(probabilities, conditional)
    return float(log_predictor.gather(1, labels[:, None].long()).mean())


def nce_score(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
) -> float:
    """Negative conditional entropy -H(Y | Z), Z the most probable source category; nats, at most 0.

    Source: Tran et al., Transferability and Hardness of Supervised Classification Tasks,
    ICCV 2019, section 3.
    """
    source_categories = probabilities.shape[1]
    hard = torch.nn.functional.one_hot(probabilities.argmax(dim=1), source_categories)
    return leep_score(hard.to(probabilities), labels, target_classes)


def row_entropies(relationship: Float[Tensor, "target source"]) -> Float[Tensor, " target"]:
    """Entropy of each row of R, in nats, from 0 (one category) to log(source) (uniform)."""
    return torch.special.entr(relationship).sum(dim=1)


def most_similar_rows(relationship: Float[Tensor, "target source"]) -> SimilarRows:
    """The two different rows of R with the largest cosine similarity, the smaller index first.

    Raises:
        ValueError: there are fewer than two rows.
    """
    if len(relationship) < 2:
        raise ValueError(f"two rows are needed to compare, got {len(relationship)}")
    unit = torch.nn.functional.normalize(relationship, dim=1)
    first, second = torch.triu_indices(len(unit), len(unit), offset=1)
    cosine = (unit @ unit.T).clamp(0, 1)[first, second]
    best = cosine.argmax()
    return SimilarRows(int(first[best]), int(second[best]), float(cosine[best]))


def majority_accuracy(labels: Int[Tensor, " batch"]) -> float:
    """Accuracy of always predicting the most frequent label, in (0, 1]."""
    return float(labels.bincount().max() / len(labels))


def source_head_divergence(
    source_logits: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    relationship: Float[Tensor, "target source"],
) -> Float[Tensor, " batch"]:
    r"""How far each image's source prediction is from its translated label, R[y].

    .. math:: \mathrm{KL}(R[y_i] \,\|\, \mathrm{softmax}(z_i))
        = \sum_s R[y_i, s] \log (R[y_i, s] / \mathrm{softmax}(z_i)_s)

    It is the translated cross-entropy less the entropy of R[y], which no training changes. A
    category that R leaves at 0 adds nothing.

    Args:
        source_logits: output of the source head, any real numbers.
        labels: target classes, in [0, target).
        relationship: R[t] = p(y_s | y_t = t), each row sums to 1.

    Returns:
        In nats, float64; at least 0 but for rounding, and 0 where the prediction is R[y].

    Raises:
        IndexError: a label is out of range.

    Source: Kullback and Leibler, On Information and Sufficiency, 1951; the direction is that of
    You et al., NeurIPS 2020, equation 1.
    """
    log_predicted = torch.nn.functional.log_softmax(source_logits.double(), dim=1)
    translated = torch.nn.functional.embedding(labels.long(), relationship.double())
    terms = torch.nn.functional.kl_div(log_predicted, translated, reduction="none")
    return terms.where(translated > 0, 0).sum(dim=1)


def class_means(
    values: Float[Tensor, " batch"], labels: Int[Tensor, " batch"], target_classes: int
) -> Float[Tensor, " target"]:
    """Mean of the values of each class, in float64; NaN for a class without a value.

    Args:
        values: one a sample, in any unit.
        labels: in [0, target_classes).
        target_classes: length of the result.
    """
    labels = labels.long()
    sums = torch.zeros(target_classes, dtype=torch.double).index_add(0, labels, values.double())
    return sums / labels.bincount(minlength=target_classes)
