"""The reverse approach by cross-validated likelihood, against scikit-learn and in its promises."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from pipeline.cotuning.folds import stratified_folds
from pipeline.cotuning.regularization_path import INVERSE_REGULARIZATIONS
from pipeline.cotuning.relationship import fit_relationship
from pipeline.cotuning.reverse import (
    fit_reverse_classifier,
    fit_reverse_classifier_by_likelihood,
    relearned,
    reverse_relationship,
)

SCALES = np.geomspace(0.01, 100, 2001)


def joined(splits):
    logits = torch.cat([splits.train_logits, splits.validation_logits])
    labels = torch.cat([splits.train_labels, splits.validation_labels])
    return logits.double().softmax(dim=1), labels


def fitted(c, x, y):
    return LogisticRegression(C=c, fit_intercept=False, tol=1e-8, max_iter=10_000).fit(x, y)


def likelihood_on_grid(x, y, c):
    """The best mean log-likelihood of held-out labels over a grid of scales, in plain NumPy."""
    logits, truth = [], []
    for kept, out in stratified_folds(torch.from_numpy(y), 5):
        logits.append(x[out] @ fitted(c, x[kept], y[kept]).coef_.T)
        truth.append(y[out])
    z, t = np.concatenate(logits), np.concatenate(truth)
    values = []
    for scale in SCALES:
        s = scale * z
        log_sum = np.log(np.exp(s - s.max(axis=1, keepdims=True)).sum(axis=1)) + s.max(axis=1)
        values.append((s[np.arange(len(t)), t] - log_sum).mean())
    best = int(np.argmax(values))
    return values[best], SCALES[best]


@pytest.mark.parametrize("seed", [0, 1])
def test_c_and_scale_have_the_highest_held_out_likelihood(make_splits, seed):
    probabilities, labels = joined(make_splits(seed, train=40, validation=20, noise=3.0))
    g = fit_reverse_classifier_by_likelihood(probabilities, labels, 4)
    x, y = probabilities.numpy(), labels.numpy()
    found = {c: likelihood_on_grid(x, y, c) for c in INVERSE_REGULARIZATIONS if 1e-3 < c < 1e3}
    best = max(found, key=lambda c: found[c][0])
    assert g.inverse_regularization == pytest.approx(best)
    assert g.scale == pytest.approx(found[best][1], rel=0.01)
    np.testing.assert_allclose(g.weight, fitted(best, x, y).coef_, atol=2e-3)


def test_fewer_samples_than_categories_lose_nothing(make_splits):
    """A fit to the coordinates in the samples' span is the fit to the predictions themselves."""
    probabilities, labels = joined(make_splits(3, train=16, validation=8, source=50, noise=3.0))
    g = fit_reverse_classifier_by_likelihood(probabilities, labels, 4)
    direct = fitted(g.inverse_regularization, probabilities.numpy(), labels.numpy())
    np.testing.assert_allclose(g.weight, direct.coef_, atol=1e-3)


def test_what_is_learned_again_from_the_same_samples_is_the_same(make_splits):
    splits = make_splits(0, noise=3.0)
    probabilities, labels = joined(splits)
    found, g = fit_relationship(
        *splits, direction="reverse", selection="cross-validated-likelihood"
    )
    assert g.predict(probabilities).shape == labels.shape
    torch.testing.assert_close(relearned(g, probabilities, labels), found, atol=1e-5, rtol=0)
    marginal = probabilities.mean(dim=0)
    torch.testing.assert_close(reverse_relationship(g, marginal), found)


def test_a_validation_split_of_a_few_samples_cannot_mislead_it(make_splits):
    """Labels of the validation split that are all wrong turn the paper's choice, not this one."""
    splits = make_splits(1, train=80, validation=4, noise=1.0)
    wrong = (splits.validation_labels + 1) % 4
    train, validation = splits.train_logits.softmax(1), splits.validation_logits.softmax(1)
    misled = fit_reverse_classifier(train, splits.train_labels, validation, wrong, 4)
    probabilities = torch.cat([train, validation])
    steady = fit_reverse_classifier_by_likelihood(
        probabilities, torch.cat([splits.train_labels, wrong]), 4
    )
    assert misled.scale == pytest.approx(0.01)
    assert steady.scale > 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3], "every class has one only"),
        ([0, 0, 1, 1], "class 2 has no training sample"),
        ([0, 0, 1, 4], "labels must be in"),
    ],
)
def test_what_cannot_be_cross_validated_is_refused(labels, message):
    probabilities = torch.eye(4).double()
    with pytest.raises(ValueError, match=message):
        fit_reverse_classifier_by_likelihood(probabilities, torch.tensor(labels), 4)
