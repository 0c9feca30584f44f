"""The category relationship p(y_s | y_t), learned from the source model's predictions."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .reverse import (
    ReverseClassifier,
    fit_reverse_classifier,
    fit_reverse_classifier_by_likelihood,
    require_every_class,
    reverse_relationship,
)

ROWS = 1024  # of which probabilities are made at a time

Direction = Literal["direct", "reverse"]
Selection = Literal["validation-accuracy", "cross-validated-likelihood"]


def direct_relationship(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
    pseudo_samples: float = 0.0,
) -> Float[Tensor, "target source"]:
    r"""R[t] is the mean source prediction over the samples of class t, drawn to that of all.

    .. math:: R[t] = (n_t m_t + a m) / (n_t + a)

    with the mean m_t over the n_t samples of class t, the mean m over all samples (the source
    marginal), and a pseudo-samples: the mean of a Dirichlet posterior whose prior is m.

    Args:
        probabilities: calibrated p(s | x_i), rows sum to 1.
        labels: in [0, target_classes).
        target_classes: number of rows of the result; each sums to 1.
        pseudo_samples: a >= 0; 0 is the paper's direct approach.

    Raises:
        ValueError: a class has no sample, a label is out of range, there are fewer than two
            classes, or pseudo_samples is negative.

    Source: You et al., NeurIPS 2020, section 3.2, "direct approach"; the prior is that of
    Gelman et al., Bayesian Data Analysis, 3rd edition, section 3.4.
    """
    require_every_class(labels, target_classes)
    if pseudo_samples < 0:
        raise ValueError(f"pseudo_samples must be at least 0, got {pseudo_samples}")
    one_hot = F.one_hot(labels.long(), target_classes).double()
    prior = pseudo_samples * probabilities.double().mean(dim=0)
    counts = one_hot.sum(dim=0)[:, None]
    return (one_hot.T @ probabilities.double() + prior) / (counts + pseudo_samples)


def fit_relationship(
    train_logits: Float[Tensor, "train source"],
    train_labels: Int[Tensor, " train"],
    validation_logits: Float[Tensor, "validation source"],
    validation_labels: Int[Tensor, " validation"],
    target_classes: int,
    temperature: float = 1.0,
    direction: Direction = "reverse",
    pseudo_samples: float = 0.0,
    selection: Selection = "validation-accuracy",
) -> tuple[Float[Tensor, "target source"], ReverseClassifier]:
    """Learn R = p(y_s | y_t) from the source model's logits on the target data.

    As in the authors' code, the direct means and the source marginal are taken over both
    splits; g is fitted on the training split and chosen and calibrated on the validation split,
    unless both are used for all of it by cross-validation.

    Args:
        train_logits, validation_logits: source logits of the two splits.
        train_labels, validation_labels: target classes, in [0, target_classes).
        target_classes: at least 2.
        temperature: T > 0 of the source model; probabilities are softmax(logits / T).
        direction: which approach gives R; g is fitted for both, its accuracy is a diagnostic.
        pseudo_samples: of the direct approach, see direct_relationship.
        selection: how the regularization of g is chosen and g is calibrated.

    Returns:
        R in float64, each row summing to 1, and the classifier g.

    Raises:
        ValueError: a class has no training sample, a split is empty, a label is out of
            range, there are fewer than two classes, or temperature is not positive.

    Source: You et al., NeurIPS 2020, section 3.2; github.com/thuml/CoTuning.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    probabilities = _probabilities([train_logits, validation_logits], temperature)
    train, validation = probabilities.tensor_split([len(train_logits)])
    labels = torch.cat([train_labels, validation_labels])
    if selection == "cross-validated-likelihood":
        classifier = fit_reverse_classifier_by_likelihood(probabilities, labels, target_classes)
    else:
        classifier = fit_reverse_classifier(
            train, train_labels, validation, validation_labels, target_classes
        )
    if direction == "direct":
        relationship = direct_relationship(probabilities, labels, target_classes, pseudo_samples)
        return relationship, classifier
    return reverse_relationship(classifier, probabilities.mean(dim=0)), classifier


def _probabilities(
    splits: list[Float[Tensor, "_ source"]], temperature: float
) -> Float[Tensor, "batch source"]:
    """softmax(logits / T) of all splits in float64, without a second copy of that size."""
    size = sum(len(logits) for logits in splits), splits[0].shape[1]
    found = torch.empty(size, dtype=torch.double)
    begin = 0
    for logits in splits:
        for some in logits.split(ROWS):
            found[begin : begin + len(some)] = F.softmax(some.double() / temperature, dim=1)
            begin += len(some)
    return found
