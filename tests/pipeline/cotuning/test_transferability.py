"""LogME and the H-score against plain dense formulas, and in their promises."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf
from torch import Tensor

from pipeline.cotuning.transferability import h_score, log_maximum_evidence


def scattered(
    seed: int, samples: int, size: int, target: int = 3, spread: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Features as a rectifier leaves them, scattered around one centre a class."""
    generator = torch.Generator().manual_seed(seed)
    centres = spread * torch.randn(target, size, generator=generator)
    labels = torch.arange(samples) % target
    features = centres[labels] + torch.randn(samples, size, generator=generator)
    return features.relu(), labels


def log_evidence(x: np.ndarray, y: np.ndarray, alpha: float, beta: float) -> float:
    """Bishop, Pattern Recognition and Machine Learning, equation 3.86."""
    samples, size = x.shape
    a = alpha * np.eye(size) + beta * x.T @ x
    mean = beta * np.linalg.inv(a) @ x.T @ y
    misfit = beta / 2 * ((y - x @ mean) ** 2).sum() + alpha / 2 * (mean**2).sum()
    log_determinant = np.linalg.slogdet(a)[1]
    logs = size * math.log(alpha) + samples * math.log(beta / (2 * math.pi))
    return float((logs - log_determinant) / 2 - misfit)


def evidence_by_alternation(x: np.ndarray, y: np.ndarray) -> float:
    """The same, equations 3.87 to 3.95: re-estimate alpha and beta in turns, then polish them."""
    alpha = beta = 1.0
    eigenvalues = np.linalg.eigvalsh(x.T @ x).clip(0)
    for _ in range(300):
        mean = np.linalg.inv(alpha / beta * np.eye(x.shape[1]) + x.T @ x) @ x.T @ y
        gamma = (beta * eigenvalues / (alpha + beta * eigenvalues)).sum()
        alpha = gamma / (mean**2).sum()
        beta = (len(y) - gamma) / ((y - x @ mean) ** 2).sum()
    polished = minimize(
        lambda logs: -log_evidence(x, y, *np.exp(logs)), np.log([alpha, beta]), tol=1e-10
    )
    return -float(polished.fun) / len(y)


def rank_deficient(seed: int, samples: int, size: int) -> tuple[Tensor, Tensor]:
    features, labels = scattered(seed, samples, size // 2)
    return torch.cat([features, 2 * features], dim=1), labels


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        scattered(0, 60, 8),
        scattered(1, 30, 50, spread=0.1),
        scattered(2, 40, 20, target=5),
        scattered(3, 200, 30, target=2),
        rank_deficient(4, 40, 12),
        rank_deficient(5, 24, 40),
    ],
    ids=["tall", "wide", "five classes", "two classes", "tall, deficient", "wide, deficient"],
)
def test_logme_is_the_textbook_evidence_at_its_maximum(features: Tensor, labels: Tensor) -> None:
    classes = int(labels.max()) + 1
    x = features.double().numpy()
    evidence = [evidence_by_alternation(x, (labels == c).double().numpy()) for c in range(classes)]
    found = log_maximum_evidence(features, labels, classes)
    assert found == pytest.approx(np.mean(evidence), abs=1e-6)


def profile(x: np.ndarray, y: np.ndarray, ratio: float) -> float:
    """The evidence per sample at the best beta, y ~ N(0, (I + x x^T / ratio) / beta)."""
    covariance = np.eye(len(y)) + x @ x.T / ratio
    variance = y @ np.linalg.solve(covariance, y) / len(y)
    log_determinant = np.linalg.slogdet(covariance)[1] / len(y)
    return float(-(math.log(2 * math.pi * variance) + 1 + log_determinant) / 2)


@pytest.mark.parametrize("seed", [9, 18])
def test_of_two_peaks_of_the_evidence_the_higher_is_found(seed: int) -> None:
    """One feature is large and says a little, many small ones say a little as well."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(30) % 2
    features = 0.03 * torch.randn(30, 20, generator=generator)
    features[:, 0] = 1 + 0.3 * labels + 0.3 * torch.randn(30, generator=generator)
    x, ratios = features.double().numpy(), np.geomspace(1e-6, 1e8, 300)
    indicators = [(labels == label).double().numpy() for label in (0, 1)]
    heights = np.array([[profile(x, y, ratio) for ratio in ratios] for y in indicators])
    inside = heights[:, 1:-1]
    peaks = ((inside > heights[:, :-2]) & (inside > heights[:, 2:])).sum(axis=1)
    assert max(peaks) == 2
    found = log_maximum_evidence(features, labels, 2)
    assert found == pytest.approx(heights.max(axis=1).mean(), abs=5e-4)


def test_a_class_without_samples_changes_neither_score() -> None:
    features, labels = scattered(0, 30, 8)
    assert log_maximum_evidence(features, labels, 3) == log_maximum_evidence(features, labels, 5)
    assert h_score(features, labels, 3) == h_score(features, labels, 5)


@pytest.mark.parametrize("score", [log_maximum_evidence, h_score])
@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 3]])
def test_labels_that_nothing_can_be_said_of_are_refused(score, labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"two classes are needed|labels must be in"):
        score(torch.randn(3, 4), torch.tensor(labels), 3)


@pytest.mark.parametrize("size", [4, 40])
def test_features_that_say_nothing_have_the_evidence_of_noise(size: int) -> None:
    """Then y ~ N(0, mean of y^2) is the best there is."""
    labels = torch.arange(12) % 3
    found = log_maximum_evidence(torch.zeros(12, size), labels, 3)
    assert found == pytest.approx(-0.5 * (math.log(2 * math.pi / 3) + 1))
    assert h_score(torch.ones(12, size), labels, 3) == 0


@pytest.mark.parametrize("samples", [9, 60])
def test_features_that_give_the_classes_score_high_and_finite(samples: int) -> None:
    labels = torch.arange(samples) % 3
    exact = torch.nn.functional.one_hot(labels).float()
    noise, _ = scattered(0, samples, 3, spread=0)
    found = log_maximum_evidence(exact, labels, 3)
    assert math.isfinite(found)
    assert found > 5 + log_maximum_evidence(noise, labels, 3)
    assert h_score(exact, labels, 3) > h_score(noise, labels, 3) + 1


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    samples=st.integers(6, 40),
    size=st.integers(1, 40),
    scale=st.floats(1e-3, 1e3),
)
def test_neither_scale_nor_rotation_nor_order_changes_a_score(
    seed: int, samples: int, size: int, scale: float
) -> None:
    features, labels = scattered(seed, samples, size)
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(size, size, generator=generator).double())[0]
    order = torch.randperm(samples, generator=generator)
    moved = scale * features.double()[order] @ rotation
    for score in log_maximum_evidence, h_score:
        found = score(moved, labels[order], 3)
        assert found == pytest.approx(score(features, labels, 3), abs=1e-5)


def class_covariance(features: Tensor, labels: Tensor) -> np.ndarray:
    x = features.double().numpy()
    means = np.stack([x[labels == label].mean(axis=0) for label in range(int(labels.max()) + 1)])
    return np.cov(means[labels.numpy()], rowvar=False, bias=True)


@pytest.mark.parametrize(("samples", "size"), [(60, 8), (20, 50), (30, 30)])
def test_the_h_score_is_the_trace_with_a_shrunk_covariance(samples: int, size: int) -> None:
    features, labels = scattered(samples, samples, size)
    fit = LedoitWolf().fit(features.double().numpy())
    dense = np.linalg.inv(fit.covariance_) @ class_covariance(features, labels)
    expected = (1 - fit.shrinkage_) * np.trace(dense)
    assert h_score(features, labels, 3) == pytest.approx(expected, abs=1e-9)


def test_with_many_samples_the_h_score_is_the_plain_one() -> None:
    features, labels = scattered(0, 30_000, 6)
    covariance = np.cov(features.double().numpy(), rowvar=False, bias=True)
    plain = np.trace(np.linalg.pinv(covariance) @ class_covariance(features, labels))
    assert h_score(features, labels, 3) == pytest.approx(plain, rel=0.01)


def test_with_few_samples_only_the_shrunk_h_score_tells_features_apart() -> None:
    noise, labels = scattered(0, 30, 60, spread=0)
    good, _ = scattered(0, 30, 60, spread=2)
    for features in noise, good:
        covariance = np.cov(features.double().numpy(), rowvar=False, bias=True)
        plain = np.linalg.pinv(covariance, hermitian=True) @ class_covariance(features, labels)
        assert np.trace(plain) == pytest.approx(2)
    assert h_score(good, labels, 3) > 2 * h_score(noise, labels, 3)
