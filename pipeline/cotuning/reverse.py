"""The reverse approach: a calibrated classifier g from source predictions to target classes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .calibration import TemperatureFit, fit_temperature
from .folds import require_held_out, stratified_folds
from .regularization_path import Fit, converged, fit_at, regularization_path

PATIENCE = 3  # values of C on which the likelihood must fall for the search to end
ACCURATE = 0.2  # of the mean margin, by a bound; where an accuracy of many samples is judged
MANY = 500
LIKELY = 0.01  # the same where a likelihood is


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
    require_samples(train_probabilities, train_labels)
    search = AccuracySearch(validation_labels)
    path = regularization_path(
        train_probabilities, train_labels, validation_probabilities, target_classes, search.decided
    )
    best = search.best_of(path)
    weight = converged(train_probabilities, train_labels, best)
    logits = validation_probabilities.double() @ weight.T
    calibration = fit_temperature(logits, validation_labels)
    accuracy = float((logits.argmax(dim=1) == validation_labels).double().mean())
    return ReverseClassifier(
        weight, best.c, accuracy, 1 / calibration.temperature, calibration.at_bound
    )


class AccuracySearch:
    """The strength with the best validation accuracy, among those of a path; ties to the weakest.

    Attributes:
        right: validation samples that the best one so far classifies correctly.
    """

    def __init__(self, labels: Int[Tensor, " validation"]) -> None:
        self.labels, self.right = labels, -1

    def decided(
        self, logits: Float[Tensor, "validation target"], wrong: Float[Tensor, " validation"]
    ) -> bool:
        """Whether no prediction can change any more, or the strength cannot win any more."""
        margins = _margins(logits)
        open_still = margins <= wrong
        right = logits.argmax(dim=1) == self.labels
        possible = int((right | open_still).sum())
        accurate = ACCURATE if len(self.labels) >= MANY else LIKELY
        close = float(wrong.max()) <= accurate * float(margins.mean())
        return close or possible < self.right or not bool(open_still.any())

    def best_of(self, path: Iterable[Fit]) -> Fit:
        """Of fits from the strongest regularization on, made while this looks at them."""
        for fit in path:
            right = int((fit.logits.argmax(dim=1) == self.labels).sum())
            if right >= self.right:
                self.right, best = right, fit
        return best


def _margins(logits: Float[Tensor, "watched target"]) -> Float[Tensor, " watched"]:
    """By how much the largest logit exceeds the second."""
    first, second = logits.topk(2, dim=1).values.T
    return first - second


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
    require_samples(probabilities, labels)
    parts = list(stratified_folds(labels, folds))
    truth = torch.cat([labels[out] for _, out in parts])
    found: dict[float, tuple[TemperatureFit, Tensor]] = {}
    paths = [
        regularization_path(
            *(probabilities[kept], labels[kept], probabilities[out]), target_classes, _close
        )
        for kept, out in parts
    ]
    for fits in zip(*paths, strict=True):
        c = fits[0].c
        logits = torch.cat([fit.logits for fit in fits])
        found[c] = fit_temperature(logits, truth), logits
        best = min(found, key=lambda c: found[c][0].nll)
        # The weakest regularizations are the slowest to fit, and seldom the best.
        if list(found).index(best) < len(found) - PATIENCE:
            break
    calibration, logits = found[best]
    return ReverseClassifier(
        fit_at(probabilities, labels, target_classes, best),
        best,
        float((logits.argmax(dim=1) == truth).double().mean()),
        1 / calibration.temperature,
        calibration.at_bound,
    )


def _close(logits: Float[Tensor, "held_out target"], wrong: Float[Tensor, " held_out"]) -> bool:
    return float(wrong.max()) <= LIKELY * float(_margins(logits).mean())


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
    target_classes = len(classifier.weight)
    weight = fit_at(probabilities, labels, target_classes, classifier.inverse_regularization)
    again = replace(classifier, weight=weight)
    return reverse_relationship(again, probabilities.double().mean(dim=0))


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


def require_samples(probabilities: Tensor, labels: Tensor) -> None:
    """ValueError unless each row is of finite numbers and has its label."""
    if len(probabilities) != len(labels):
        counts = [len(probabilities), len(labels)]
        raise ValueError(f"probabilities and labels have inconsistent numbers of samples: {counts}")
    if not bool(torch.isfinite(probabilities.sum())):
        raise ValueError("the source predictions contain NaN or infinity")
