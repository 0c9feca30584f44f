"""How well features suit the target classes, before any training: LogME and the H-score."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

from .reverse import require_in_range

RELATIVE_RANK = 1e-12  # of the largest squared singular value; what lies below it is rounding
RELATIVE_CHANGE = 1e-4  # of t, where the iteration ends; the evidence is off by its square
MAX_ITERATIONS = 10_000
START_EXPONENTS = (-12, 12, 49)  # of 10, times the largest squared singular value; and how many


def log_maximum_evidence(
    features: Float[Tensor, "batch feature"], labels: Int[Tensor, " batch"], target_classes: int
) -> float:
    r"""LogME, the mean over classes of the maximum log evidence per sample, in nats.

    The indicator y of each class is explained by a Bayesian linear regression on the features F,
    y ~ N(F w, I / beta) with w ~ N(0, I / alpha); alpha and beta maximise the evidence p(y | F).
    With the singular values s of F, t = alpha / beta is a fixed point of

    .. math:: t = \frac{\gamma}{N - \gamma} \frac{\|F m - y\|^2}{\|m\|^2},
        \quad \gamma = \sum_j \frac{s_j^2}{s_j^2 + t},

    m the mean of w given y; beta follows from t, and one decomposition serves all classes. The
    evidence can have two peaks, so the iteration starts at the best of 49 values of t. An indicator
    that is the same for all samples says nothing and is left out. The evidence of one that the
    features give exactly has no bound; t stays within 1e-12 and 1e12 of the largest s^2.

    Args:
        features: any real numbers; one factor on all of them changes nothing.
        labels: in [0, target_classes).
        target_classes: at least 2.

    Raises:
        ValueError: a label is out of range, or there are fewer than two different ones.

    Source: You, Liu, Wang, Long, LogME, ICML 2021, section 4; You et al., Ranking and Tuning
    Pre-trained Models, JMLR 2022, for the fixed point.
    """
    indicators = _indicators(labels, target_classes)
    squared, projected, outside = _spectrum(features.double(), indicators)
    samples, rank = len(labels), len(squared)
    largest = float(squared.max()) if rank else 1.0

    def evidence(ratio: Tensor) -> Tensor:
        scaled = 1 + squared[:, None] / ratio
        misfit = ((projected / scaled).sum(dim=0) + outside) / samples  # 1 / beta at its optimum
        log_determinant = scaled.log().sum(dim=0) / samples
        return -(misfit.log() + log_determinant + math.log(2 * math.pi) + 1) / 2

    starts = largest * torch.logspace(*START_EXPONENTS, dtype=torch.double)
    at_starts = torch.stack([evidence(start[None]) for start in starts])
    ratio = starts[at_starts.argmax(dim=0)]
    for _ in range(MAX_ITERATIONS):
        kept = squared[:, None] / (squared[:, None] + ratio)
        lost = ratio / (squared[:, None] + ratio)
        residual = (projected * lost**2).sum(dim=0) + outside
        squared_mean = (projected * kept * lost).sum(dim=0) / ratio
        freedom = lost.sum(dim=0) + samples - rank
        before, ratio = ratio, kept.sum(dim=0) / freedom * residual / squared_mean
        ratio = ratio.nan_to_num(largest).clamp(starts[0], starts[-1])
        if torch.allclose(ratio, before, rtol=RELATIVE_CHANGE, atol=0):
            break
    return float(evidence(ratio).maximum(at_starts.max(dim=0).values).mean())


def h_score(
    features: Float[Tensor, "batch feature"], labels: Int[Tensor, " batch"], target_classes: int
) -> float:
    r"""H-score with shrinkage: the variance that classes explain, in whitened features.

    .. math:: \mathrm{tr}\big(\Sigma_a^{-1} (1 - a) \, \mathrm{cov}(E[f | y])\big),
        \quad \Sigma_a = (1 - a) \, \mathrm{cov}(f) + a \frac{\mathrm{tr}\,\mathrm{cov}(f)}{D} I

    with the shrinkage a of Ledoit and Wolf; a = 0 is the plain H-score. That is the number of
    classes less 1 for any features at all where these are more than the samples, and networks whose
    features differ in number could not be compared; a goes to 0 where samples abound.

    Args:
        features: any real numbers; neither one factor on all of them nor a shift changes anything.
        labels: in [0, target_classes).
        target_classes: at least 2.

    Returns:
        From 0 to the number of classes less 1, without unit.

    Raises:
        ValueError: a label is out of range, or there are fewer than two different ones.

    Source: Bao et al., An Information-Theoretic Approach to Transferability in Task Transfer
    Learning, ICIP 2019; Ibrahim, Ponomareva, Mazumder, Newer is not always better, ECML PKDD 2022,
    for the shrinkage.
    """
    indicators = _indicators(labels, target_classes)
    centred = features.double() - features.double().mean(dim=0)
    squared, projected, _ = _spectrum(centred, indicators)
    if not len(squared):
        return 0.0
    shrinkage = float(ledoit_wolf_shrinkage(centred.numpy(), assume_centered=True))
    between = squared * (projected / indicators.sum(dim=0)).sum(dim=1)
    total = (1 - shrinkage) * squared + shrinkage * squared.sum() / features.shape[1]
    return float((1 - shrinkage) * (between / total).sum())


def _indicators(
    labels: Int[Tensor, " batch"], target_classes: int
) -> Float[Tensor, "batch present"]:
    """Of each class with a sample, 1 where a sample is of it and else 0."""
    require_in_range(labels, target_classes)
    one_hot = F.one_hot(labels.long(), target_classes).double()
    present = one_hot[:, one_hot.any(dim=0)]
    if present.shape[1] < 2:
        raise ValueError(f"samples of two classes are needed, got {present.shape[1]}")
    return present


def _spectrum(
    features: Float[Tensor, "batch feature"], targets: Float[Tensor, "batch present"]
) -> tuple[Float[Tensor, " rank"], Float[Tensor, "rank present"], Float[Tensor, " present"]]:
    """Squared singular values, squared products of the left singular vectors with targets, and the
    squared length of what of each target lies outside their span.

    Where the features are fewer than the samples they come from the smaller Gram matrix, which
    keeps the directions above RELATIVE_RANK too.
    """
    if len(features) > features.shape[1]:
        squared, right = torch.linalg.eigh(features.T @ features)
        spanned = squared > RELATIVE_RANK * squared.max()
        left = features @ (right[:, spanned] / squared[spanned].sqrt())
    else:
        left, singular, _ = torch.linalg.svd(features, full_matrices=False)
        squared = singular.square()
        spanned = squared > RELATIVE_RANK * squared.max()
        left = left[:, spanned]
    products = left.T @ targets
    return squared[spanned], products.square(), (targets - left @ products).square().sum(dim=0)
