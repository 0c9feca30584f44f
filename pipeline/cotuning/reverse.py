"""The reverse approach: a calibrated classifier g from source predictions to target classes."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor

from .calibration import TemperatureFit, fit_temperature
from .folds import require_held_out, stratified_folds

INVERSE_REGULARIZATIONS = (
    *(1e4, 3e3, 1e3, 3e2, 1e2, 3e1, 1e1, 3.0, 1.0),
    *(3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4),
)
PATIENCE = 3  # values of C on which the likelihood must fall for the search to end
RELATIVE_RANK = 1e-9  # of the largest singular value; directions below it carry no sample


@dataclass(frozen=True)
class ReverseClassifier:
    """The calibrated classifier g of the reverse relationship, p(y_t | p) = softmax(p W^T scale).

    Attributes:
        weight: W, [target, source].
        inverse_regularization: the C of scikit-learn that was chosen.
        validation_accuracy: of g on the validation split, or of its like on held-out folds; in
            [0, 1].
        scale: the calibration of g, > 0.
        scale_at_bound: the likelihood of the held-out samples has no maximum in the searched
            range: they are separated perfectly, or g knows nothing of them.
    """

    weight: Float[Tensor, "target source"]
    inverse_regularization: float
    validation_accuracy: float
    scale: float
    scale_at_bound: bool

    def predict(self, probabilities: Float[Tensor, "batch source"]) -> Int[Tensor, " batch"]:
        """The target class that g finds most probable for each source prediction p(s | x_i)."""
        return (probabilities.double() @ self.weight.T).argmax(dim=1)


def fit_reverse_classifier(
    train_probabilities: Float[Tensor, "train source"],
    train_labels: Int[Tensor, " train"],
    validation_probabilities: Float[Tensor, "validation source"],
    validation_labels: Int[Tensor, " validation"],
    target_classes: int,
) -> ReverseClassifier:
    """Fit g, a logistic regression without intercept from source to target, and calibrate it.

    The regularization is the one of 17 values with the best validation accuracy, ties going
    to the weakest.

    Raises:
        ValueError: a class has no training sample, a split is empty, a label is out of
            range, or there are fewer than two classes.

    Source: You et al., NeurIPS 2020, section 3.2, "reverse approach"; the 17 values are those
    of the authors' code (github.com/thuml/CoTuning).
    """
    require_every_class(train_labels, target_classes)
    if len(validation_labels) == 0:
        raise ValueError("the reverse relationship needs validation samples, got none")
    require_in_range(validation_labels, target_classes)
    train_x, train_y = train_probabilities.double().numpy(), train_labels.numpy()
    validation_x, validation_y = (
        validation_probabilities.double().numpy(),
        validation_labels.numpy(),
    )
    best_accuracy, best_c, best_weight = -1.0, 0.0, np.empty(0)
    with _one_quiet_thread():
        for c, coefficients in _regularization_path(train_x, train_y):
            predicted = (validation_x @ coefficients.T).argmax(axis=1)
            accuracy = float(np.mean(predicted == validation_y))
            if accuracy >= best_accuracy:
                best_accuracy, best_c, best_weight = accuracy, c, coefficients
    weight = torch.from_numpy(best_weight)
    calibration = fit_temperature(validation_probabilities.double() @ weight.T, validation_labels)
    return ReverseClassifier(
        weight, best_c, best_accuracy, 1 / calibration.temperature, calibration.at_bound
    )


def fit_reverse_classifier_by_likelihood(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
    folds: int = 5,
) -> ReverseClassifier:
    """Fit g on all samples, with C and scale of the highest cross-validated likelihood.

    For each of the 17 values of C, from the strongest regularization until the likelihood falls,
    the logits that g gives to the samples of one fold when it is fitted on the others are gathered
    over all folds; the scale maximises the likelihood of the labels under them. A validation split
    of a few samples decides by its accuracy in steps too coarse to choose by.

    An L2-regularised solution lies in the space that the samples span, so that g is fitted to
    their coordinates there, which are at most as many as samples.

    Args:
        probabilities: calibrated p(s | x_i), of training and validation samples together.
        labels: in [0, target_classes), each class at least once and one of them twice.
        target_classes: at least 2.

    Raises:
        ValueError: a class has no sample, no class has two, a label is out of range, or there
            are fewer than two classes.
    """
    require_every_class(labels, target_classes)
    require_held_out(labels)
    x, basis = _coordinates(probabilities)
    y = labels.long().numpy()
    parts = list(stratified_folds(labels, folds))
    truth = torch.cat([labels[out] for _, out in parts])
    found: dict[float, tuple[TemperatureFit, Tensor]] = {}
    with _one_quiet_thread():
        paths = [_regularization_path(x[kept], y[kept]) for kept, _ in parts]
        for fits in zip(*paths, strict=True):
            c = fits[0][0]
            weights = [weight for _, weight in fits]
            held_out = [x[out] @ weight.T for (_, out), weight in zip(parts, weights, strict=True)]
            logits = torch.from_numpy(np.concatenate(held_out))
            found[c] = fit_temperature(logits, truth), logits
            best = min(found, key=lambda c: found[c][0].nll)
            # The weakest regularizations are the slowest to fit, and seldom the best.
            if list(found).index(best) < len(found) - PATIENCE:
                break
        weight = next(weight for c, weight in _regularization_path(x, y) if c == best)
    calibration, logits = found[best]
    return ReverseClassifier(
        torch.from_numpy(weight) @ basis,
        best,
        float((logits.argmax(dim=1) == truth).double().mean()),
        1 / calibration.temperature,
        calibration.at_bound,
    )


def relearned(
    classifier: ReverseClassifier,
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
) -> Float[Tensor, "target source"]:
    """R of the reverse approach from other samples, with the C and the scale of a classifier.

    Args:
        probabilities: calibrated p(s | x_i).
        labels: every class of the classifier at least once.
    """
    x, basis = _coordinates(probabilities)
    values = (classifier.inverse_regularization,)
    with _one_quiet_thread():
        _, weight = next(_regularization_path(x, labels.long().numpy(), values))
    again = replace(classifier, weight=torch.from_numpy(weight) @ basis)
    return reverse_relationship(again, probabilities.double().mean(dim=0))


def _coordinates(
    probabilities: Float[Tensor, "batch source"],
) -> tuple[np.ndarray, Float[Tensor, "rank source"]]:
    """Samples in an orthonormal basis of the space that they span, [batch, rank], and the basis."""
    left, singular, right = torch.linalg.svd(probabilities.double(), full_matrices=False)
    spanned = singular > RELATIVE_RANK * singular[0]
    return (left * singular)[:, spanned].numpy(), right[spanned]


def _regularization_path(
    x: np.ndarray, y: np.ndarray, values: Sequence[float] = INVERSE_REGULARIZATIONS
) -> Iterator[tuple[float, np.ndarray]]:
    """Each C with the weight [target, source] of g, from the strongest regularization on.

    Each fit starts from its stronger neighbour, which is faster and leads to the same optimum.
    """
    model = LogisticRegression(
        fit_intercept=False, warm_start=True, solver="newton-cg", max_iter=1000, tol=1e-8
    )
    for c in sorted(values):
        model.set_params(C=c).fit(x, y)
        yield c, one_row_a_class(model.coef_.copy())


@contextmanager
def _one_quiet_thread() -> Iterator[None]:
    """Products this small lose far more to waiting threads than they gain, on a busy machine."""
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield


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


def one_row_a_class(weight: np.ndarray) -> np.ndarray:
    """scikit-learn keeps one row, the log-odds of the second class, when there are two classes."""
    return np.vstack([-weight / 2, weight / 2]) if len(weight) == 1 else weight


def require_every_class(labels: Tensor, target_classes: int) -> None:
    if target_classes < 2:
        raise ValueError(f"at least 2 target classes are needed, got {target_classes}")
    require_in_range(labels, target_classes)
    counts = labels.long().bincount(minlength=target_classes)
    if empty := (counts == 0).nonzero()[:, 0].tolist():
        raise ValueError(f"class {empty[0]} has no training sample (classes without any: {empty})")


def require_in_range(labels: Tensor, target_classes: int) -> None:
    if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= target_classes):
        raise ValueError(
            f"labels must be in [0, {target_classes}), "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
