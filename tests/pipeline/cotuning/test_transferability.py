"""LogME against the textbook's evidence, the H-score against its definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf
from torch import Tensor

from pipeline.cotuning.transferability import h_score, log_maximum_evidence


def problem(samples: int, size: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % classes
    centres = torch.randn(classes, size, generator=generator)
    return centres[labels] + torch.randn(samples, size, generator=generator), labels


def evidence(features: np.ndarray, target: np.ndarray, alpha: float, beta: float) -> float:
    """Of Bayesian linear regression: Bishop, Pattern Recognition and Machine Learning, 3.86."""
    samples, size = features.shape
    precision = alpha * np.eye(size) + beta * features.T @ features
    mean = beta * np.linalg.solve(precision, features.T @ target)
    error = beta / 2 * ((target - features @ mean) ** 2).sum() + alpha / 2 * mean @ mean
    return float(
        size / 2 * np.log(alpha)
        + samples / 2 * np.log(beta / (2 * np.pi))
        - error
        - np.linalg.slogdet(precision)[1] / 2
    )


def plain_log_maximum_evidence(features: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """The fixed point of alpha and beta with every matrix written out."""
    samples, size = features.shape
    total = 0.0
    for label in range(classes):
        target = (labels == label).astype(float)
        alpha = beta = 1.0
        for _ in range(300):
            precision = alpha * np.eye(size) + beta * features.T @ features
            mean = beta * np.linalg.inv(precision) @ features.T @ target
            determined = size - alpha * np.trace(np.linalg.inv(precision))
            alpha = determined / (mean @ mean)
            beta = (samples - determined) / ((target - features @ mean) ** 2).sum()
        total += evidence(features, target, alpha, beta)
    return total / classes / samples


@pytest.mark.parametrize(("samples", "size"), [(60, 8), (40, 39), (30, 50)])
def test_logme_is_the_plain_evidence(samples: int, size: int) -> None:
    features, labels = problem(samples, size, 3)
    expected = plain_log_maximum_evidence(features.double().numpy(), labels.numpy(), 3)
    assert log_maximum_evidence(features, labels, 3) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [6, 90])  # with 90 the best noise is none
def test_logme_is_the_maximum_over_alpha_and_beta(size: int) -> None:
    features, labels = problem(50, size, 2)
    x, total = features.double().numpy(), 0.0
    for label in range(2):
        target = (labels == label).double().numpy()
        found = (
            minimize(lambda logs, y=target: -evidence(x, y, *np.exp(logs)), start, method="Powell")
            for start in ([0.0, 0.0], [4.0, 4.0], [4.0, 15.0])
        )
        total -= min(result.fun for result in found)
    assert log_maximum_evidence(features, labels, 2) == pytest.approx(total / 2 / 50, abs=1e-6)


def test_logme_of_features_of_deficient_rank_is_the_plain_evidence() -> None:
    features, labels = problem(60, 4, 3)
    doubled = torch.cat([features, features], dim=1)
    expected = plain_log_maximum_evidence(doubled.double().numpy(), labels.numpy(), 3)
    assert log_maximum_evidence(doubled, labels, 3) == pytest.approx(expected, abs=1e-6)


def test_features_that_tell_the_classes_apart_score_higher() -> None:
    features, labels = problem(90, 10, 3)
    noise = torch.randn(90, 10, generator=torch.Generator().manual_seed(1))
    for score in log_maximum_evidence, h_score:
        assert score(features, labels, 3) > score(noise, labels, 3)


def test_the_h_score_is_its_definition_with_the_shrunk_covariance() -> None:
    features, labels = problem(40, 60, 4)
    x = features.double().numpy() - features.double().numpy().mean(axis=0)
    estimate = LedoitWolf(assume_centered=True).fit(x)
    means = np.array([x[labels.numpy() == label].mean(axis=0) for label in labels.numpy()])
    between = means.T @ means / len(x)
    expected = np.trace(np.linalg.inv(estimate.covariance_) @ between) * (1 - estimate.shrinkage_)
    assert h_score(features, labels, 4) == pytest.approx(expected, rel=1e-9)


def test_with_many_samples_the_h_score_is_that_of_the_empirical_covariance() -> None:
    features, labels = problem(6000, 5, 3)
    x = features.double().numpy()
    means = np.array([x[labels.numpy() == label].mean(axis=0) for label in labels.numpy()])
    expected = np.trace(np.linalg.pinv(np.cov(x.T)) @ np.cov(means.T))
    assert h_score(features, labels, 3) == pytest.approx(expected, rel=0.01)


@given(st.integers(0, 1000), st.floats(0.1, 10))
@settings(max_examples=10, deadline=None)
def test_neither_score_hangs_on_the_order_of_the_samples(seed: int, scale: float) -> None:
    features, labels = problem(40, 7, 3, seed)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    for score in log_maximum_evidence, h_score:
        found = score(scale * features[order], labels[order], 3)
        assert found == pytest.approx(score(scale * features, labels, 3), abs=1e-6)


def test_a_class_without_samples_is_refused() -> None:
    features, labels = problem(30, 4, 3)
    for score in log_maximum_evidence, h_score:
        with pytest.raises(ValueError, match="class 3 has no training sample"):
            score(features, labels, 4)
