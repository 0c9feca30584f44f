"""The linear probe against scikit-learn's own pipeline, and what it must not depend on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from pipeline.cotuning.folds import stratified_folds
from pipeline.cotuning.linear_probe import (
    STRENGTHS,
    LinearProbe,
    cross_validated_linear_probe,
    fit_linear_probe,
    held_out_probe_logits,
)


def problem(classes: int, seed: int = 0, noise: float = 1.5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes * 12) % classes
    centres = 2 * torch.randn(classes, 6, generator=generator)
    return centres[labels] + noise * torch.randn(len(labels), 6, generator=generator), labels


def fitted(features: Tensor, labels: Tensor, classes: int) -> LinearProbe:
    half = len(labels) // 2
    return fit_linear_probe(features[:half], labels[:half], features[half:], labels[half:], classes)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_its_probabilities_are_those_of_scikit_learns_pipeline(classes: int) -> None:
    features, labels = problem(classes)
    probe = fitted(features, labels, classes)
    half = len(labels) // 2
    regression = LogisticRegression(C=probe.inverse_regularization, max_iter=1000)
    whole = make_pipeline(StandardScaler(), regression)
    whole.fit(features[:half].double().numpy(), labels[:half].numpy())
    found = torch.softmax(features @ probe.weight.T + probe.bias, dim=1)
    assert probe.weight.shape == (classes, 6)
    np.testing.assert_allclose(found, whole.predict_proba(features.double().numpy()), atol=1e-4)
    expected = torch.log_softmax(probe.logits(features), dim=1).exp().float()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_strength_is_the_one_of_the_lowest_validation_nll() -> None:
    features, labels = problem(4, noise=3.0)
    half = len(labels) // 2
    x, y = features.double().numpy(), labels.numpy()
    losses = {}
    for strength in STRENGTHS:
        regression = LogisticRegression(C=strength, max_iter=1000)
        whole = make_pipeline(StandardScaler(), regression).fit(x[:half], y[:half])
        losses[strength] = log_loss(y[half:], whole.predict_proba(x[half:]))
    best = min(losses, key=losses.__getitem__)
    assert fitted(features, labels, 4).inverse_regularization == best
    assert best not in (STRENGTHS[0], STRENGTHS[-1])


def test_by_folds_it_is_the_fit_to_all_samples_of_the_strength_that_folds_choose() -> None:
    features, labels = problem(4, noise=3.0)
    x, y = features.double().numpy(), labels.numpy()
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for kept, held_out in stratified_folds(labels, 5):
        for strength in STRENGTHS:
            regression = LogisticRegression(C=strength, max_iter=1000)
            whole = make_pipeline(StandardScaler(), regression).fit(x[kept], y[kept])
            predicted = whole.predict_proba(x[held_out])
            losses[strength] += log_loss(y[held_out], predicted, labels=range(4), normalize=False)
    best = min(losses, key=losses.__getitem__)
    probe = cross_validated_linear_probe(features, labels, 4)
    assert probe.inverse_regularization == best
    whole = make_pipeline(StandardScaler(), LogisticRegression(C=best, max_iter=1000)).fit(x, y)
    found = torch.softmax(probe.logits(features), dim=1)
    np.testing.assert_allclose(found, whole.predict_proba(x), atol=1e-4)


def test_by_folds_one_sample_a_class_is_enough() -> None:
    features, labels = problem(3)
    probe = cross_validated_linear_probe(features[:3], labels[:3], 3)
    assert torch.equal(probe.logits(features[:3]).argmax(dim=1), labels[:3])


@given(st.floats(0.01, 100), st.floats(-50, 50))
@settings(max_examples=10, deadline=None)
def test_scale_and_shift_of_the_features_change_no_prediction(scale: float, shift: float) -> None:
    features, labels = problem(3)
    probe, moved = fitted(features, labels, 3), fitted(features * scale + shift, labels, 3)
    expected = features @ probe.weight.T + probe.bias
    found = (features * scale + shift).double() @ moved.weight.T.double() + moved.bias
    torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)


def test_a_constant_feature_is_harmless() -> None:
    features, labels = problem(3)
    constant = torch.cat([features, torch.full((len(labels), 1), 7.0)], dim=1)
    assert torch.isfinite(fitted(constant, labels, 3).weight).all()


def test_a_class_without_a_training_sample_is_refused() -> None:
    features, labels = problem(3)
    with pytest.raises(ValueError, match="class 3 has no training sample"):
        fitted(features, labels, 4)


def test_each_sample_is_predicted_by_a_probe_that_was_fitted_without_it() -> None:
    features, labels = problem(4, noise=3.0)
    best = cross_validated_linear_probe(features, labels, 4).inverse_regularization
    logits, known = held_out_probe_logits(features, labels, 4)
    expected, truth = [], []
    for kept, held_out in stratified_folds(labels, 5):
        whole = make_pipeline(StandardScaler(), LogisticRegression(C=best, max_iter=1000))
        whole.fit(features[kept].double().numpy(), labels[kept].numpy())
        expected.append(whole.predict_proba(features[held_out].double().numpy()))
        truth.append(labels[held_out])
    assert torch.equal(known, torch.cat(truth))
    np.testing.assert_allclose(torch.softmax(logits, dim=1), np.concatenate(expected), atol=1e-4)


def test_where_every_class_has_one_sample_nothing_can_be_held_out() -> None:
    with pytest.raises(ValueError, match="every class has one only"):
        held_out_probe_logits(torch.randn(3, 6), torch.arange(3), 3)


def test_samples_are_held_out_in_the_folds_that_are_given() -> None:
    features, labels = problem(4, noise=3.0)
    folds = list(stratified_folds(labels, 2, seed=1))
    logits, known = held_out_probe_logits(features, labels, 4, folds)
    assert torch.equal(known, torch.cat([labels[held_out] for _, held_out in folds]))
    same, _ = held_out_probe_logits(features, labels, 4, list(stratified_folds(labels, 5)))
    torch.testing.assert_close(same, held_out_probe_logits(features, labels, 4)[0])
    assert logits.shape == same.shape
    assert not torch.allclose(logits, same)


def test_folds_that_keep_no_sample_of_a_class_or_hold_out_none_are_refused() -> None:
    features, labels = problem(3)
    without = [(torch.nonzero(labels != 1)[:, 0], torch.nonzero(labels == 1)[:, 0])]
    with pytest.raises(ValueError, match="class 1 has no training sample"):
        held_out_probe_logits(features, labels, 3, without)
    with pytest.raises(ValueError, match="there is no fold"):
        held_out_probe_logits(features, labels, 3, [])


def test_one_sample_a_class_is_fitted_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    features = torch.eye(30)
    cross_validated_linear_probe(features, torch.arange(30), 30)
    assert not recwarn.list
