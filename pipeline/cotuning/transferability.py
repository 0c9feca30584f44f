"""Scores of a source model's features for a target task, before any fine-tuning.

LEEP and NCE, which look at the source predictions, are in `diagnostics`.
"""

import math

import torch
from jaxtyping import Float, Int
from sklearn.covariance import LedoitWolf
from torch import Tensor

from pipeline.cotuning.reverse import require_every_class

ITERATIONS = 100
CONVERGED = 1e-8  # relative change of alpha / beta
# Of the largest eigenvalue: where features can tell all samples apart, the best noise is none.
SMALLEST = 1e-12


def log_maximum_evidence(
    features: Float[Tensor, "batch feature"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
) -> float:
    r"""LogME: mean over classes of the log evidence a sample, in nats; higher is better.

    Each class's indicator is regressed linearly on the features, with a Gaussian prior of
    precision alpha on the weights and noise of precision beta. The evidence p(y | F, alpha, beta)
    is maximised by the fixed point of alpha and beta, of which one singular value decomposition
    serves all classes.

    Args:
        features: pooled, [N, D], any scale and rank.
        labels: in [0, target_classes); every class has one.

    Raises:
        ValueError: a class has no sample.

    Source: You et al., LogME: Practical Assessment of Pre-trained Models for Transfer Learning,
    ICML 2021, equations 2 to 4; the fixed point of You et al., Ranking and Tuning Pre-trained
    Models, JMLR 2022, algorithm 3.
    """
    require_every_class(labels, target_classes)
    left, singular, _ = torch.linalg.svd(features.double(), full_matrices=False)
    targets = torch.nn.functional.one_hot(labels.long(), target_classes).double()
    projected = (left.T @ targets).square()
    residual = (targets.square().sum(dim=0) - projected.sum(dim=0)).clamp_min(0)
    samples = len(features)
    evidences = [
        _maximum_evidence(singular.square(), inside, outside, samples)
        for inside, outside in zip(projected.T, residual, strict=True)
    ]
    return float(torch.stack(evidences).mean()) / samples


def _maximum_evidence(
    eigenvalues: Tensor, projected: Tensor, residual: Tensor, samples: int
) -> Tensor:
    """Log evidence of one target at its best alpha and beta.

    Args:
        eigenvalues: of F^T F, as many as min(samples, size).
        projected: squares of the target's coordinates along the left singular vectors.
        residual: squared norm of what of the target lies outside of them.
    """
    ratio = eigenvalues.new_tensor(1.0)  # alpha / beta
    for _ in range(ITERATIONS):
        shrunk = eigenvalues + ratio
        weights = (eigenvalues * projected / shrunk.square()).sum()
        error = (ratio.square() * projected / shrunk.square()).sum() + residual
        determined = (eigenvalues / shrunk).sum()
        before, ratio = ratio, determined / weights * error / (samples - determined)
        if (ratio / before - 1).abs() < CONVERGED or ratio < SMALLEST * eigenvalues.max():
            break
    return _log_evidence(eigenvalues, projected, residual, samples, ratio)


def _log_evidence(
    eigenvalues: Tensor, projected: Tensor, residual: Tensor, samples: int, ratio: Tensor
) -> Tensor:
    """Log density of the target, N(0, F F^T / alpha + I / beta), at this ratio's best alpha."""
    shrunk = eigenvalues + ratio
    outside = samples - len(eigenvalues)
    squared = (projected / shrunk).sum() + residual / ratio
    alpha = samples / squared
    log_determinant = shrunk.log().sum() + outside * ratio.log() - samples * alpha.log()
    return -0.5 * (samples * math.log(2 * math.pi) + log_determinant + alpha * squared)


def h_score(
    features: Float[Tensor, "batch feature"],
    labels: Int[Tensor, " batch"],
    target_classes: int,
) -> float:
    """Between-class over total variance of the features, tr(cov(f)^-1 cov(E[f | y])); higher is
    better, from 0 to at most target_classes - 1.

    With fewer samples than features the empirical covariance has no inverse, and by its
    pseudo-inverse all features look alike: it is shrunk by Ledoit and Wolf's estimate.

    Args:
        features: pooled, [N, D].
        labels: in [0, target_classes); every class has one.

    Raises:
        ValueError: a class has no sample.

    Source: Bao et al., An Information-Theoretic Approach to Transferability in Task Transfer
    Learning, ICIP 2019, definition 2; the shrinkage is that of Ibrahim et al., Newer is not always
    better: Rethinking transferability metrics, ECML PKDD 2022, equation 4.
    """
    require_every_class(labels, target_classes)
    centred = features.double() - features.double().mean(dim=0)
    estimate = LedoitWolf(store_precision=False, assume_centered=True).fit(centred.cpu().numpy())
    counts = labels.bincount(minlength=target_classes).double()
    means = (
        torch.nn.functional.one_hot(labels.long(), target_classes).double().T @ centred
    ) / counts[:, None]
    between = (means * (counts / counts.sum()).sqrt()[:, None]).T
    covariance = torch.from_numpy(estimate.covariance_)
    ratio = (between * torch.linalg.solve(covariance, between)).sum()
    return float((1 - estimate.shrinkage_) * ratio)
