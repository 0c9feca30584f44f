"""Fitted temperatures against scipy on plain loops, and the calibration of a classifier."""

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from pipeline.cotuning.calibration import (
    fit_target_likelihood_temperature,
    fit_temperature,
    reliability_curve,
)
from pipeline.cotuning.reliability import ReliabilityCurve, bin_confidences
from pipeline.cotuning.reliability import expected_calibration_error as ece


def overlapping(seed, samples=80, temperature=1.7):
    """Logits, and labels drawn from their softmax at that temperature."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(samples, 5, generator=generator).double()
    probabilities = (logits / temperature).softmax(dim=1)
    return logits, torch.multinomial(probabilities, 1, generator=generator)[:, 0]


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def nll_by_loop(logits, labels, temperature):
    total = 0.0
    for row, label in zip(logits.double().numpy() / temperature, labels.tolist(), strict=True):
        total += row.max() + np.log(np.exp(row - row.max()).sum()) - row[label]
    return total / len(labels)


@pytest.mark.parametrize("seed", range(5))
def test_the_temperature_agrees_with_scipy(seed):
    logits, labels = overlapping(seed)
    reference = minimize_scalar(
        lambda log_t: nll_by_loop(logits, labels, np.exp(log_t)),
        bounds=np.log([0.01, 100]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    found = fit_temperature(logits, labels)
    assert found.temperature == pytest.approx(np.exp(reference.x), rel=1e-5)
    assert found.nll == pytest.approx(reference.fun, abs=1e-9)
    assert not found.at_bound


def test_the_temperature_that_drew_the_labels_is_found():
    found = fit_temperature(*overlapping(0, samples=20_000, temperature=2.5))
    assert found.temperature == pytest.approx(2.5, rel=0.03)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e4))
def test_the_temperature_scales_with_the_logits(seed, scale):
    logits, labels = overlapping(seed)
    once = fit_temperature(logits, labels)
    scaled = fit_temperature(scale * logits, labels, (scale * 1e-2, scale * 1e2))
    assert scaled.temperature == pytest.approx(scale * once.temperature, rel=1e-6)
    assert scaled.nll == pytest.approx(once.nll, rel=1e-9)
    assert scaled.at_bound == once.at_bound


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_constant_added_to_a_row_changes_nothing(seed):
    logits, labels = overlapping(seed)
    moved = logits + 50 * torch.randn(80, 1, generator=torch.Generator().manual_seed(seed))
    reference = fit_temperature(logits, labels).temperature
    assert fit_temperature(moved, labels).temperature == pytest.approx(reference, rel=1e-6)


def test_badly_scaled_logits_end_on_the_bound_and_say_so():
    logits, labels = overlapping(0)
    found = fit_temperature(1e4 * logits, labels)
    assert (found.temperature, found.at_bound) == (100, True)
    assert found.nll == pytest.approx(nll_by_loop(1e4 * logits, labels, 100))


def test_separated_samples_have_no_finite_optimum():
    labels = torch.arange(4)
    found = fit_temperature(5 * torch.eye(4), labels)
    assert (found.temperature, found.nll, found.at_bound) == (0.01, 0, True)


@pytest.mark.parametrize("logits", [-5 * torch.eye(4), torch.zeros(4, 4)], ids=["wrong", "equal"])
def test_logits_that_know_nothing_end_on_the_warm_bound(logits):
    found = fit_temperature(logits, torch.arange(4))
    assert (found.temperature, found.at_bound) == (100, True)


def test_zero_samples_have_no_temperature():
    with pytest.raises(ValueError, match="cannot fit a temperature to zero samples"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_out_of_range_has_no_temperature(label):
    logits, labels = overlapping(0)
    labels[3] = label
    with pytest.raises(RuntimeError, match=f"index {label} is out of bounds"):
        fit_temperature(logits, labels)


def target_nll_by_loop(splits, temperature):
    train = softmax(splits.train_logits.double().numpy() / temperature)
    validation = softmax(splits.validation_logits.double().numpy() / temperature)
    conditional = np.zeros((splits.target_classes, train.shape[1]))
    for row, label in zip(train, splits.train_labels.tolist(), strict=True):
        conditional[label] += row
    conditional /= conditional.sum(axis=0)
    rows = zip(validation, splits.validation_labels.tolist(), strict=True)
    return -np.mean([np.log(row @ conditional[label]) for row, label in rows])


def assert_no_better_temperature(splits, peaks=1):
    found = fit_target_likelihood_temperature(*splits)
    grid = np.linspace(np.log(1 / 8), np.log(8), 200)
    values = [target_nll_by_loop(splits, np.exp(log_t)) for log_t in grid]
    best, slope = int(np.argmin(values)), np.sign(np.diff(values))
    assert 1 + np.count_nonzero(slope[:-1] > slope[1:]) == peaks
    reference = minimize_scalar(
        lambda log_t: target_nll_by_loop(splits, np.exp(log_t)),
        bounds=(grid[best - 1], grid[best + 1]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found.nll == pytest.approx(reference.fun, abs=1e-8)
    assert found.temperature == pytest.approx(np.exp(reference.x), rel=1e-3)
    assert not found.at_bound


@pytest.mark.parametrize("seed", range(4))
def test_the_target_likelihood_has_no_better_temperature(make_splits, seed):
    assert_no_better_temperature(make_splits(seed, noise=2.0))


@pytest.mark.parametrize(("small", "quiet"), [(0.1, 0.5), (0.2, 1.0)], ids=["cold", "warm"])
def test_the_highest_of_several_peaks_is_found(make_splits, small, quiet):
    sizes = {"train": 30, "validation": 15, "source": 6, "target": 3}
    soft, sharp = (make_splits(6, noise=noise, **sizes) for noise in (quiet, 2.0))
    mixed = soft._replace(
        train_logits=torch.cat([small * soft.train_logits, 6 * sharp.train_logits]),
        train_labels=soft.train_labels.repeat(2),
        validation_logits=torch.cat([small * soft.validation_logits, 6 * sharp.validation_logits]),
        validation_labels=soft.validation_labels.repeat(2),
    )
    assert_no_better_temperature(mixed, peaks=2)


@pytest.mark.parametrize(("scale", "bound"), [(0.01, 1 / 8), (1000.0, 8.0)])
def test_an_optimum_on_the_bound_of_the_target_likelihood_is_reported(make_splits, scale, bound):
    splits = make_splits(0, noise=2.0)
    splits = splits._replace(
        train_logits=scale * splits.train_logits,
        validation_logits=scale * splits.validation_logits,
    )
    found = fit_target_likelihood_temperature(*splits)
    assert found.temperature == pytest.approx(bound, rel=1e-3)
    assert found.nll == pytest.approx(target_nll_by_loop(splits, found.temperature), abs=1e-9)
    assert found.at_bound


def test_a_category_of_zero_mass_leaves_the_target_likelihood_as_it_was(make_splits):
    splits = make_splits(1, noise=2.0)
    reference = fit_target_likelihood_temperature(*splits)
    absent = splits._replace(
        train_logits=torch.cat([splits.train_logits, torch.full((60, 1), -torch.inf)], dim=1),
        validation_logits=torch.cat(
            [splits.validation_logits, torch.full((30, 1), -torch.inf)], dim=1
        ),
    )
    found = fit_target_likelihood_temperature(*absent)
    assert (found.temperature, found.nll) == pytest.approx(
        (reference.temperature, reference.nll), rel=1e-6
    )


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_target_likelihood_of_an_empty_split_is_refused(make_splits, split):
    splits = make_splits(0, **{split: 0})
    with pytest.raises(ValueError, match="needs a training and a validation sample, got none"):
        fit_target_likelihood_temperature(*splits)


def curve_by_loop(probabilities, labels, bins):
    inside = {}
    for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        top = max(row)
        place = next(k for k in range(1, bins + 1) if k == bins or top <= k / bins)
        inside.setdefault(place, []).append((top, row.index(top) == label))
    return [(*np.mean(inside[place], axis=0), len(inside[place])) for place in sorted(inside)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 60), bins=st.integers(1, 40))
def test_the_reliability_curve_agrees_with_a_plain_loop(seed, batch, bins):
    generator = torch.Generator().manual_seed(seed)
    probabilities = (2 * torch.randn(batch, 4, generator=generator)).double().softmax(dim=1)
    labels = torch.randint(4, (batch,), generator=generator)
    curve = reliability_curve(probabilities, labels, bins)
    reference = curve_by_loop(probabilities, labels, bins)
    found = np.stack([curve.confidence, curve.accuracy, curve.count], axis=1)
    np.testing.assert_allclose(found, reference, rtol=1e-12)
    error = sum(count * abs(right - sure) for sure, right, count in reference) / batch
    assert ece(curve) == pytest.approx(error, abs=1e-12)
    assert 0 <= error <= 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 40),
)
def test_the_calibration_error_lies_between_zero_and_one(predictions, bins):
    confidence, correct = np.array(predictions, dtype=float).T
    curve = bin_confidences(confidence, correct, bins)
    assert curve.count.sum() == len(predictions)
    assert 0 <= ece(curve) <= 1


@pytest.mark.parametrize("bins", range(1, 60))
def test_an_edge_belongs_to_the_bin_below_it(bins):
    edges = np.arange(1, bins + 1) / bins
    curve = bin_confidences(edges, np.zeros(bins), bins)
    assert curve.count.tolist() == [1] * bins


def test_the_calibration_error_of_known_classifiers():
    calibrated = ReliabilityCurve(np.array([0.6, 0.9]), np.array([0.6, 0.9]), np.array([10, 30]))
    assert ece(calibrated) == 0
    certain_and_wrong = reliability_curve(torch.eye(3), torch.tensor([1, 2, 0]))
    assert ece(certain_and_wrong) == 1
    gaps = ReliabilityCurve(np.array([0.6, 0.9]), np.array([0.5, 1.0]), np.array([30, 10]))
    assert ece(gaps) == pytest.approx(0.1)


def test_the_annotations_refuse_another_number_of_labels():
    logits, labels = overlapping(0)
    with pytest.raises(jaxtyping.TypeCheckError, match="labels"):
        fit_temperature(logits, labels[1:])
