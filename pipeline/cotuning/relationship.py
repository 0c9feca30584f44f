"""The category relationship p(y_s | y_t), learned from the source model's predictions."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor

from pipeline.cotuning.calibration import fit_temperature

Direction = Literal["direct", "reverse"]

INVERSE_REGULARIZATIONS = (
    *(1e4, 3e3, 1e3, 3e2, 1e2, 3e1, 1e1, 3.0, 1.0),
    *(3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4),
)


@dataclass(frozen=True)
class ReverseClassifier:
    """The calibrated classifier g of the reverse relationship, p(y_t | p) = softmax(p W^T scale).

    Attributes:
        weight: W, [target, source].
        inverse_regularization: the C of scikit-learn that validation accuracy chose.
        validation_accuracy: of g, in [0, 1].
        scale: the calibration of g, > 0.
        scale_at_bound: the likelihood of the validation split has no maximum in the searched
            range: it is separated perfectly, or g knows nothing of it.
    """

    weight: Float[Tensor, "target source"]
    inverse_regularization: float
    validation_accuracy: float
    scale: float
    scale_at_bound: bool

    def predict(self, probabilities: Float[Tensor, "batch source"]) -> Int[Tensor, " batch"]:
        """The target class that g finds most probable for each source prediction p(s | x_i)."""
        return (probabilities.double() @ self.weight.T).argmax(dim=1)


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
    _require_every_class(labels, target_classes)
    if pseudo_samples < 0:
        raise ValueError(f"pseudo_samples must be at least 0, got {pseudo_samples}")
    one_hot = F.one_hot(labels.long(), target_classes).double()
    prior = pseudo_samples * probabilities.double().mean(dim=0)
    counts = one_hot.sum(dim=0)[:, None]
    return (one_hot.T @ probabilities.double() + prior) / (counts + pseudo_samples)


def fit_reverse_classifier(
    train_probabilities: Float[Tensor, "train source"],
    train_labels: Int[Tensor, " train"],
    validation_probabilities: Float[Tensor, "validation source"],
    validation_labels: Int[Tensor, " validation"],
    target_classes: int,
) -> ReverseClassifier:
    """Fit g, a logistic regression without intercept from source to target, and calibrate it.

    The regularization is the one of 17 values with the best validation accuracy, ties going
    to the weakest. Each fit starts from its stronger neighbour, which is faster and leads to
    the same optimum.

    Raises:
        ValueError: a class has no training sample, a split is empty, a label is out of
            range, or there are fewer than two classes.

    Source: You et al., NeurIPS 2020, section 3.2, "reverse approach"; the 17 values are those
    of the authors' code (github.com/thuml/CoTuning).
    """
    _require_every_class(train_labels, target_classes)
    if len(validation_labels) == 0:
        raise ValueError("the reverse relationship needs validation samples, got none")
    _require_in_range(validation_labels, target_classes)
    train_x, train_y = train_probabilities.double().numpy(), train_labels.numpy()
    validation_x, validation_y = (
        validation_probabilities.double().numpy(),
        validation_labels.numpy(),
    )
    model = LogisticRegression(
        fit_intercept=False, warm_start=True, solver="newton-cg", max_iter=1000, tol=1e-8
    )
    best_accuracy, best_c, best_weight = -1.0, 0.0, np.empty(0)
    # Products this small lose far more to waiting threads than they gain, on a busy machine.
    with threadpool_limits(1, user_api="blas"):
        for c in sorted(INVERSE_REGULARIZATIONS):
            model.set_params(C=c).fit(train_x, train_y)
            accuracy = float(np.mean(model.predict(validation_x) == validation_y))
            if accuracy >= best_accuracy:
                best_accuracy, best_c, best_weight = accuracy, c, model.coef_.copy()
    weight = torch.from_numpy(_one_row_a_class(best_weight))
    calibration = fit_temperature(validation_probabilities.double() @ weight.T, validation_labels)
    return ReverseClassifier(
        weight, best_c, best_accuracy, 1 / calibration.temperature, calibration.at_bound
    )


def reverse_relationship(
    classifier: ReverseClassifier, source_marginal: Float[Tensor, " source"]
) -> Float[Tensor, "target source"]:
    """Turn p(y_t | y_s) into R = p(y_s | y_t) by Bayes' rule.

    g at the one-hot vector of each source category gives p(y_t | y_s); then
    R[t, s] is proportional to p(y_t = t | y_s = s) p(y_s = s). The rows are normalised in
    logarithms, so that a class that no category favours still has a row.

    Args:
        classifier: the calibrated g.
        source_marginal: p(y_s), non-negative; a category of zero mass stays at 0.

    Source: You et al., NeurIPS 2020, section 3.2 and algorithm 1.
    """
    log_target_given_source = F.log_softmax(classifier.weight * classifier.scale, dim=0)
    return F.softmax(log_target_given_source + source_marginal.double().log(), dim=1)


def fit_relationship(
    train_logits: Float[Tensor, "train source"],
    train_labels: Int[Tensor, " train"],
    validation_logits: Float[Tensor, "validation source"],
    validation_labels: Int[Tensor, " validation"],
    target_classes: int,
    temperature: float = 1.0,
    direction: Direction = "reverse",
    pseudo_samples: float = 0.0,
) -> tuple[Float[Tensor, "target source"], ReverseClassifier]:
    """Learn R = p(y_s | y_t) from the source model's logits on the target data.

    As in the authors' code, the direct means and the source marginal are taken over both
    splits; g is fitted on the training split and chosen and calibrated on the validation split.

    Args:
        train_logits, validation_logits: source logits of the two splits.
        train_labels, validation_labels: target classes, in [0, target_classes).
        target_classes: at least 2.
        temperature: T > 0 of the source model; probabilities are softmax(logits / T).
        direction: which approach gives R; g is fitted for both, its accuracy is a diagnostic.
        pseudo_samples: of the direct approach, see direct_relationship.

    Returns:
        R in float64, each row summing to 1, and the classifier g.

    Raises:
        ValueError: a class has no training sample, a split is empty, a label is out of
            range, there are fewer than two classes, or temperature is not positive.

    Source: You et al., NeurIPS 2020, section 3.2; github.com/thuml/CoTuning.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    train = F.softmax(train_logits.double() / temperature, dim=1)
    validation = F.softmax(validation_logits.double() / temperature, dim=1)
    classifier = fit_reverse_classifier(
        train, train_labels, validation, validation_labels, target_classes
    )
    probabilities = torch.cat([train, validation])
    if direction == "direct":
        labels = torch.cat([train_labels, validation_labels])
        relationship = direct_relationship(probabilities, labels, target_classes, pseudo_samples)
        return relationship, classifier
    return reverse_relationship(classifier, probabilities.mean(dim=0)), classifier


def _one_row_a_class(weight: np.ndarray) -> np.ndarray:
    """scikit-learn keeps one row, the log-odds of the second class, when there are two classes."""
    return np.vstack([-weight / 2, weight / 2]) if len(weight) == 1 else weight


def _require_every_class(labels: Tensor, target_classes: int) -> None:
    if target_classes < 2:
        raise ValueError(f"at least 2 target classes are needed, got {target_classes}")
    _require_in_range(labels, target_classes)
    counts = labels.long().bincount(minlength=target_classes)
    if empty := (counts == 0).nonzero()[:, 0].tolist():
        raise ValueError(f"class {empty[0]} has no training sample (classes without any: {empty})")


def _require_in_range(labels: Tensor, target_classes: int) -> None:
    if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= target_classes):
        raise ValueError(
            f"labels must be in [0, {target_classes}), "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
