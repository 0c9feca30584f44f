"""Logistic regression on frozen features: what a source model's features know of the classes."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import cross_entropy

from .folds import can_be_held_out, require_held_out, stratified_folds
from .reverse import require_every_class

STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)  # C, from the weakest regularization
ITERATIONS = 1000
WITHOUT_CHOICE = 0.01
FOLDS = 5

# Of each fold the places of the samples to fit to, [kept], and of those held out, [held_out].
Folds = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A linear classifier: features @ weight.T + bias are its logits.

    Attributes:
        weight: [target, feature].
        bias: [target].
        inverse_regularization: the C that was chosen.
    """

    weight: Float[Tensor, "target feature"]
    bias: Float[Tensor, " target"]
    inverse_regularization: float

    def logits(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch target"]:
        """In float64, on the CPU."""
        return features.cpu().double() @ self.weight.double().T + self.bias.double()


def fit_linear_probe(
    features: Float[Tensor, "batch feature"],
    labels: Int[Tensor, " batch"],
    validation_features: Float[Tensor, "validation feature"],
    validation_labels: Int[Tensor, " validation"],
    target_classes: int,
) -> LinearProbe:
    """Multinomial logistic regression on standardised features, C by validation NLL.

    Accuracy is too coarse to choose by where a class has one validation image: it would take heads
    that are nearly uniform.

    Args:
        features: pooled, of the training images, any scale.
        labels: in [0, target_classes); every class has one.

    Returns:
        In float32, on the CPU, for features as they are given: the scale is folded in.

    Raises:
        ValueError: a class has no training sample, or there are fewer than two classes.
    """
    require_every_class(labels, target_classes)
    losses = {
        probe: _nll(probe, validation_features, validation_labels)
        for probe in _path(features, labels)
    }
    return min(losses, key=losses.__getitem__)


def cross_validated_linear_probe(
    features: Float[Tensor, "batch feature"], labels: Int[Tensor, " batch"], target_classes: int
) -> LinearProbe:
    """The same with C by the NLL of five stratified folds, then fitted to all samples.

    Where every class has one sample only, so that nothing can be held out, C is 0.01.

    Raises:
        ValueError: as fit_linear_probe.
    """
    require_every_class(labels, target_classes)
    if not can_be_held_out(labels):
        return next(_path(features, labels, (WITHOUT_CHOICE,)))
    folds = list(stratified_folds(labels, FOLDS))
    strength, _, _ = _best_held_out(features, labels, folds)
    return next(_path(features, labels, (strength,)))


def held_out_probe_logits(
    features: Float[Tensor, "batch feature"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
    folds: Folds | None = None,
) -> tuple[Float[Tensor, "held_out target"], Int[Tensor, " held_out"]]:
    """What linear probes say of samples that they were not fitted to, and those samples' labels.

    Each sample is held out once in five stratified folds, but the only one of its class. C is the
    one of the lowest NLL over all folds, which flatters the logits a little: by one choice of six.

    Args:
        folds: others, where some samples must be held out together; none may hold out nothing.

    Raises:
        ValueError: as fit_linear_probe, also of the samples that a fold keeps; or no class has a
            second sample, or there is no fold.
    """
    require_every_class(labels, target_classes)
    require_held_out(labels)
    folds = list(stratified_folds(labels, FOLDS)) if folds is None else folds
    if not folds:
        raise ValueError("a sample must be held out; there is no fold")
    for kept, _ in folds:
        require_every_class(labels[kept], target_classes)
    _, logits, known = _best_held_out(features, labels, folds)
    return logits, known


def _best_held_out(features: Tensor, labels: Tensor, folds: Folds) -> tuple[float, Tensor, Tensor]:
    """The C of the lowest NLL over the folds, the held-out logits under it, and their labels."""
    logits: dict[float, list[Tensor]] = {strength: [] for strength in STRENGTHS}
    for kept, held_out in folds:
        for probe in _path(features[kept], labels[kept]):
            logits[probe.inverse_regularization].append(probe.logits(features[held_out]))
    joined = {strength: torch.cat(parts) for strength, parts in logits.items()}
    known = torch.cat([labels[held_out] for _, held_out in folds]).cpu().long()
    losses = {strength: cross_entropy(found, known).item() for strength, found in joined.items()}
    best = min(losses, key=losses.__getitem__)
    return best, joined[best], known


def _path(
    features: Tensor, labels: Tensor, strengths: Sequence[float] = STRENGTHS
) -> Iterator[LinearProbe]:
    scaler = StandardScaler().fit(features.cpu().double().numpy())
    x, y = scaler.transform(features.cpu().double().numpy()), labels.cpu().numpy()
    # The solution lies in the span of the samples, which has at most as many dimensions as they.
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    for strength in strengths:
        with warnings.catch_warnings():
            # One or two samples a class are no sign that labels are numbers to be predicted.
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            regression = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(left * singular, y)
        weight = torch.from_numpy(one_row_a_class(regression.coef_) @ right / scaler.scale_)
        intercept = torch.from_numpy(one_row_a_class(regression.intercept_[:, None])[:, 0])
        bias = intercept - weight @ torch.from_numpy(scaler.mean_)
        yield LinearProbe(weight.float(), bias.float(), strength)


def _nll(probe: LinearProbe, features: Tensor, labels: Tensor) -> float:
    return cross_entropy(probe.logits(features), labels.cpu().long()).item()


def one_row_a_class(weight: np.ndarray) -> np.ndarray:
    """scikit-learn keeps one row, the log-odds of the second class, when there are two classes."""
    return np.vstack([-weight / 2, weight / 2]) if len(weight) == 1 else weight
