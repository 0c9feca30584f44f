"""What a relationship knows of source predictions that it was not learned from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .folds import require_held_out, stratified_folds
from .relationship import Direction, direct_relationship
from .reverse import fit_reverse_classifier_by_likelihood, relearned

SMOOTHING = 0.001  # of uniform, in every row; a category of probability 0 would cost infinitely

PSEUDO_SAMPLES = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

RELEARNED_SAMPLES = 500  # with more the reverse R, slow to learn again for each fold, lags behind

# Probabilities [batch, source], labels [batch] to R [target, source].
Learner = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Knowledge:
    """What an R knows, on samples that it was not learned from.

    Attributes:
        nats: mean knowledge of a sample's source prediction; 0 is that of the source marginal.
        standard_error: of that mean, over samples.
        accuracy: of classifying the samples by it, in [0, 1].
        log_likelihood: mean of their labels under that classifier, in nats, at most 0.
    """

    nats: float
    standard_error: float
    accuracy: float
    log_likelihood: float


def smoothed(rows: Float[Tensor, "*row source"]) -> Float[Tensor, "*row source"]:
    """Rows with a share of 0.001 of the uniform distribution."""
    return (1 - SMOOTHING) * rows + SMOOTHING / rows.shape[-1]


def knowledge_of_samples(
    relationship: Float[Tensor, "target source"],
    source_marginal: Float[Tensor, " source"],
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    r"""By how much R explains each source prediction better than the source marginal does.

    .. math:: \sum_s p(s \mid x_i) \, (\log R[y_i, s] - \log p(s))

    The difference of two cross-entropies, both smoothed; its mean is at most the mutual
    information of source prediction and target class.

    Args:
        relationship: R[t] = p(y_s | y_t = t).
        source_marginal: p(y_s), sums to 1.
        probabilities: calibrated p(s | x_i) of samples that R was not learned from.
        labels: target classes, in [0, target).

    Returns:
        In nats, float64; negative where the marginal explains the prediction better.
    """
    gain = smoothed(relationship.double()).log() - smoothed(source_marginal.double()).log()
    return (probabilities.double() * F.embedding(labels.long(), gain)).sum(dim=1)


def classify_by_relationship(
    relationship: Float[Tensor, "target source"], probabilities: Float[Tensor, "batch source"]
) -> Float[Tensor, "batch target"]:
    r"""Log-probabilities of the target classes, log softmax over y of sum_s p(s | x) log R[y, s].

    The class whose row has the least cross-entropy to the prediction is the most probable; all
    classes are taken to be equally frequent.
    """
    return F.log_softmax(probabilities.double() @ smoothed(relationship.double()).log().T, dim=1)


def cross_validated_knowledge(
    learn: Learner,
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    folds: int = 5,
) -> Knowledge:
    """What the R that `learn` gives knows of samples that it has not seen.

    Each sample is held out once, from a learning on the other folds, whose mean prediction is
    the source marginal that R is held against.

    Args:
        learn: from part of the samples to R; every class is in every part.
        probabilities: calibrated p(s | x_i).
        labels: target classes; at least one of them has two samples.

    Raises:
        ValueError: no class has two samples.
    """
    require_held_out(labels)
    nats, right, likelihoods = [], [], []
    for kept, held_out in stratified_folds(labels, folds):
        relationship = learn(probabilities[kept], labels[kept])
        marginal = probabilities[kept].double().mean(dim=0)
        seen, truth = probabilities[held_out], labels[held_out].long()
        nats.append(knowledge_of_samples(relationship, marginal, seen, truth))
        log_target = classify_by_relationship(relationship, seen)
        right.append((log_target.argmax(dim=1) == truth).double())
        likelihoods.append(log_target.gather(1, truth[:, None])[:, 0])
    each = torch.cat(nats)
    return Knowledge(
        nats=float(each.mean()),
        standard_error=float(each.std() / len(each) ** 0.5),
        accuracy=float(torch.cat(right).mean()),
        log_likelihood=float(torch.cat(likelihoods).mean()),
    )


def direct_learner(target_classes: int, pseudo_samples: float) -> Learner:
    """The direct approach with so many pseudo-samples."""

    def learn(probabilities: Tensor, labels: Tensor) -> Tensor:
        return direct_relationship(probabilities, labels, target_classes, pseudo_samples)

    return learn


def choose_pseudo_samples(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
    candidates: Sequence[float] = PSEUDO_SAMPLES,
) -> tuple[float, Knowledge]:
    """The prior with which the direct R knows most, cross-validated; ties to the weakest.

    Args:
        probabilities: calibrated p(s | x_i).
        labels: in [0, target_classes), each class at least once and one of them twice.
        target_classes: at least 2.
        candidates: pseudo-samples of direct_relationship, in rising order.

    Returns:
        One of the candidates, and what the relationship with so many knows.

    Raises:
        ValueError: a class has no sample, or no class has two.
    """
    found = {
        pseudo_samples: cross_validated_knowledge(
            direct_learner(target_classes, pseudo_samples), probabilities, labels
        )
        for pseudo_samples in candidates
    }
    best = max(found, key=lambda pseudo_samples: found[pseudo_samples].nats)
    return best, found[best]


def choose_way(
    probabilities: Float[Tensor, "batch source"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
) -> tuple[Direction, float]:
    """The way in which R knows most of samples that it was not learned from, cross-validated.

    Candidates are the direct approach with each of PSEUDO_SAMPLES and, up to RELEARNED_SAMPLES
    samples, the reverse one with C and scale by cross-validated likelihood.

    Returns:
        The direction, and the pseudo-samples (0 for the reverse one).

    Raises:
        ValueError: as choose_pseudo_samples.
    """
    pseudo_samples, direct = choose_pseudo_samples(probabilities, labels, target_classes)
    if len(labels) <= RELEARNED_SAMPLES:
        classifier = fit_reverse_classifier_by_likelihood(probabilities, labels, target_classes)
        learn = partial(relearned, classifier)
        if cross_validated_knowledge(learn, probabilities, labels).nats > direct.nats:
            return "reverse", 0.0
    return "direct", pseudo_samples
