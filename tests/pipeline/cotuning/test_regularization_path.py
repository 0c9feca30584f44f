"""The fits of the reverse relationship against converged ones, and the bound that ends them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from pipeline.cotuning import multinomial
from pipeline.cotuning import regularization_path as paths
from pipeline.cotuning.multinomial import Regression
from pipeline.cotuning.regularization_path import converged, fit_at, regularization_path
from pipeline.cotuning.reverse import fit_reverse_classifier


def scattered(seed: int, samples: int, source: int, target: int, noise: float = 1.5):
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(target, source, generator=generator)
    labels = torch.arange(samples) % target
    logits = centres[labels] + noise * torch.randn(samples, source, generator=generator)
    return logits.double().softmax(dim=1), labels


def gradient(weight: Tensor, x: Tensor, y: Tensor, c: float) -> Tensor:
    """Of half the squared norm and C times the loss, at a weight [target, source]."""
    weight = weight.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ weight.T, y, reduction="sum")
    (weight.square().sum() / 2 + c * loss).backward()
    return weight.grad


@pytest.mark.parametrize("large", [False, True], ids=["float64", "float32 on the way"])
@pytest.mark.parametrize(
    ("samples", "source", "target"), [(300, 40, 5), (400, 30, 25), (600, 20, 110)]
)
def test_the_gradient_vanishes_at_what_is_chosen(monkeypatch, large, samples, source, target):
    """For few classes, for more, and for so many that blocks are kept by their rank."""
    monkeypatch.setattr(paths, "LARGE", 0 if large else 10**12)
    x, y = scattered(0, samples, source, target)
    seen, unseen = slice(0, -samples // 4), slice(-samples // 4, None)
    g = fit_reverse_classifier(x[seen], y[seen], x[unseen], y[unseen], target)
    left = gradient(g.weight, x[seen], y[seen], g.inverse_regularization)
    assert left.norm() <= 2e-5 * g.weight.norm()


@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_one_strength_is_what_another_solver_finds(c):
    x, y = scattered(1, 120, 15, 4)

    def function(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = torch.from_numpy(flat).view(4, 15)
        loss = torch.nn.functional.cross_entropy(x @ weight.T, y, reduction="sum")
        value = float(weight.square().sum() / 2 + c * loss)
        return value, gradient(weight, x, y, c).numpy().ravel()

    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 0, "gtol": 1e-7}
    found = minimize(function, np.zeros(60), jac=True, method="L-BFGS-B", options=options)
    weight = fit_at(x, y, 4, c).numpy()
    np.testing.assert_allclose(weight, found.x.reshape(4, 15), atol=1e-3 * np.abs(found.x).max())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), loose=st.floats(0.01, 3), target=st.integers(2, 6))
def test_no_difference_of_logits_is_further_off_than_the_bound(seed, loose, target):
    """So a prediction with a larger margin, and a strength that cannot win with it, is certain."""
    x, y = scattered(seed, 60, 12, target)
    watched, _ = scattered(seed + 1, 20, 12, target)
    bounds = []

    def decided(logits: Tensor, wrong: Tensor) -> bool:
        bounds.append(wrong)
        return bool(wrong.max() <= loose)

    values = (1e-2, 1.0, 30.0)
    for fit in regularization_path(x, y, watched, target, decided, values):
        optimum = watched @ converged(x, y, fit).T
        off = fit.logits - optimum
        differences = (off[:, :, None] - off[:, None, :]).abs().amax(dim=(1, 2))
        assert (differences <= bounds[-1] + 1e-4 * (1 + fit.c)).all()


def test_the_way_takes_few_passes(monkeypatch):
    """Plain L-BFGS from zero takes thousands for the seventeen strengths."""
    passes = []
    plain = Regression.loss_gradient

    def counting(regression, probabilities):
        passes.append(None)
        return plain(regression, probabilities)

    monkeypatch.setattr(Regression, "loss_gradient", counting)
    x, y = scattered(2, 500, 60, 12, noise=3.0)
    fit_reverse_classifier(x[:400], y[:400], x[400:], y[400:], 12)
    assert 17 < len(passes) < 300


def test_the_same_samples_give_the_same_bits():
    x, y = scattered(3, 300, 40, 6)
    one, other = (fit_reverse_classifier(x[:200], y[:200], x[200:], y[200:], 6) for _ in range(2))
    assert torch.equal(one.weight, other.weight)


def test_the_number_of_threads_and_the_samples_are_left_as_they_are():
    threads, (x, y) = torch.get_num_threads(), scattered(4, 100, 20, 4)
    before = x.clone()
    fit_reverse_classifier(x[:80], y[:80], x[80:], y[80:], 4)
    assert torch.get_num_threads() == threads
    assert torch.equal(x, before)


def test_predictions_that_are_no_numbers_are_refused():
    x, y = scattered(5, 40, 10, 4)
    x[3, 2] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit_reverse_classifier(x[:30], y[:30], x[30:], y[30:], 4)


def test_predictions_that_tell_nothing_end_soon(monkeypatch):
    """All weights are equal at the optimum, so that no prediction is ever certain."""
    monkeypatch.setattr(multinomial, "ITERATIONS", 20)
    x, y = torch.ones(60, 1).double(), torch.arange(60) % 3
    g = fit_reverse_classifier(x[:30], y[:30], x[30:], y[30:], 3)
    assert g.weight.abs().max() < 1e-9
    assert g.inverse_regularization == 1e4


def test_paths_that_are_walked_together_leave_the_threads_as_they_are():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    x, y = scattered(6, 60, 10, 3)
    one, other = (regularization_path(x, y, x[:5], 3, lambda logits, wrong: True) for _ in "ab")
    for _ in zip(one, other, strict=True):
        assert torch.get_num_threads() == 2
        assert torch.is_grad_enabled()
        break
    del one, other
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
