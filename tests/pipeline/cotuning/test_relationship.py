"""Both relationships against references written from the paper, and what they are robust to."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

from pipeline.cotuning.regularization_path import INVERSE_REGULARIZATIONS
from pipeline.cotuning.relationship import fit_relationship
from pipeline.cotuning.reverse import ReverseClassifier, reverse_relationship

REGULARIZATIONS = [c * 10.0**power for power in range(4, -4, -1) for c in (1, 0.3)] + [1e-4]


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def probabilities_of(splits):
    logits = splits.train_logits, splits.validation_logits
    return [softmax(split.double().numpy()) for split in logits]


def direct_by_loop(probabilities, labels, classes):
    rows = [
        [p for p, y in zip(probabilities, labels, strict=True) if y == t] for t in range(classes)
    ]
    return np.array([sum(row) / len(row) for row in rows])


def bayes_by_loop(posterior, marginal):
    """R[t, s] from posterior[s, t] = p(t | s) and marginal[s] = p(s)."""
    joint = np.zeros(posterior.T.shape)
    for s, t in np.ndindex(*posterior.shape):
        joint[t, s] = posterior[s, t] * marginal[s]
    return np.array([row / sum(row) for row in joint])


def reverse_by_scikit_learn(splits):
    """R, C, accuracy and scale; every C is fitted from scratch and the scale by scipy."""
    train, validation = probabilities_of(splits)
    labels = splits.validation_labels.numpy()
    best_accuracy = -1
    for c in REGULARIZATIONS:
        g = LogisticRegression(C=c, fit_intercept=False, tol=1e-10, max_iter=100_000)
        g.fit(train, splits.train_labels.numpy())
        accuracy = g.score(validation, labels)
        if accuracy > best_accuracy:
            best_accuracy, best_c, weight = accuracy, c, g.coef_
    if len(weight) == 1:
        weight = np.vstack([0 * weight, weight])

    def nll(log_scale):
        rows = softmax(np.exp(log_scale) * validation @ weight.T)
        return -np.log(rows[range(len(labels)), labels]).mean()

    search = minimize_scalar(
        nll, bounds=np.log([0.01, 100]), method="bounded", options={"xatol": 1e-10}
    )
    scale = np.exp(search.x)
    marginal = np.concatenate([train, validation]).mean(axis=0)
    return bayes_by_loop(softmax(scale * weight.T), marginal), best_c, best_accuracy, scale


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "sizes",
    [
        {"noise": 2.0},
        {"train": 40, "validation": 20, "source": 8, "target": 2, "noise": 3.0},
        {"train": 90, "validation": 50, "source": 30, "target": 5, "noise": 2.5},
    ],
    ids=["four classes", "two classes", "thirty categories"],
)
def test_the_reverse_relationship_agrees_with_scikit_learn(make_splits, sizes, seed):
    splits = make_splits(seed, **sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, g = fit_relationship(*splits)
    reference, c, accuracy, scale = reverse_by_scikit_learn(splits)
    assert g.inverse_regularization == pytest.approx(c)
    assert g.validation_accuracy == pytest.approx(accuracy)
    assert g.scale == pytest.approx(scale, rel=1e-3)
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-5)


@pytest.mark.parametrize("target", [2, 5])
def test_the_predictions_of_g_are_those_of_scikit_learn(make_splits, target):
    splits = make_splits(1, train=60, validation=40, target=target, noise=3.0)
    train, validation = probabilities_of(splits)
    _, g = fit_relationship(*splits)
    model = LogisticRegression(
        C=g.inverse_regularization, fit_intercept=False, tol=1e-10, max_iter=100_000
    )
    reference = model.fit(train, splits.train_labels.numpy()).predict(validation)
    assert len(set(reference)) == target
    assert g.predict(torch.from_numpy(validation)).tolist() == reference.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_the_direct_relationship_is_the_mean_prediction_of_each_class(make_splits, seed):
    splits = make_splits(seed)
    found, g = fit_relationship(*splits, direction="direct")
    labels = torch.cat([splits.train_labels, splits.validation_labels]).tolist()
    reference = direct_by_loop(np.concatenate(probabilities_of(splits)), labels, 4)
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-12)
    assert g.validation_accuracy == fit_relationship(*splits)[1].validation_accuracy


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), target=st.integers(2, 6), source=st.integers(1, 20))
def test_the_bayes_step_agrees_with_a_plain_loop(seed, target, source):
    rng = np.random.default_rng(seed)
    weight, marginal = rng.normal(size=(target, source)), rng.dirichlet(np.ones(source))
    g = ReverseClassifier(torch.from_numpy(weight), 1.0, 0.5, 3.0, False)
    found = reverse_relationship(g, torch.from_numpy(marginal))
    reference = bayes_by_loop(softmax(3 * weight.T), marginal)
    np.testing.assert_allclose(found, reference, rtol=1e-9)


def test_a_class_that_no_category_favours_still_has_a_row():
    weight = torch.tensor([[1.0, 1.0], [-1.0, -2.0]])
    g = ReverseClassifier(weight, 1.0, 0.5, 1000.0, True)
    rows = reverse_relationship(g, torch.tensor([0.3, 0.7]))
    torch.testing.assert_close(rows, torch.tensor([[0.3, 0.7], [1.0, 0.0]]).double())


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    direction=st.sampled_from(["direct", "reverse"]),
    target=st.integers(2, 5),
    temperature=st.floats(0.05, 20),
)
def test_rows_are_distributions(make_splits, seed, direction, target, temperature):
    splits = make_splits(seed, target=target, noise=2.0)
    rows, g = fit_relationship(*splits, temperature, direction)
    assert rows.shape == (target, 12)
    assert rows.dtype == torch.float64
    assert (rows >= 0).all()
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(target).double())
    assert g.weight.shape == (target, 12)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    direction=st.sampled_from(["direct", "reverse"]),
    names=st.permutations(range(4)),
)
def test_renaming_the_classes_reorders_the_rows(make_splits, seed, direction, names):
    splits, names = make_splits(seed, noise=2.0), torch.tensor(names)
    rows, _ = fit_relationship(*splits, direction=direction)
    renamed, _ = fit_relationship(
        *splits._replace(
            train_labels=names[splits.train_labels],
            validation_labels=names[splits.validation_labels],
        ),
        direction=direction,
    )
    torch.testing.assert_close(renamed[names], rows, rtol=0, atol=1e-5)


def test_the_regularizations_are_the_seventeen_of_the_authors():
    assert pytest.approx(REGULARIZATIONS) == INVERSE_REGULARIZATIONS


@pytest.mark.parametrize("direction", ["direct", "reverse"])
def test_shuffled_rows_give_the_same_relationship(make_splits, direction):
    splits = make_splits(3, noise=2.0)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    shuffled = splits._replace(
        train_logits=splits.train_logits[order], train_labels=splits.train_labels[order]
    )
    rows, shuffled_rows = (
        fit_relationship(*one, direction=direction)[0] for one in (splits, shuffled)
    )
    torch.testing.assert_close(shuffled_rows, rows, rtol=0, atol=1e-5)


@pytest.mark.parametrize("direction", ["direct", "reverse"])
def test_the_temperature_divides_the_logits(make_splits, direction):
    splits = make_splits(4, noise=2.0)
    divided = splits._replace(
        train_logits=splits.train_logits.double() / 2.5,
        validation_logits=splits.validation_logits.double() / 2.5,
    )
    rows, _ = fit_relationship(*splits, 2.5, direction)
    torch.testing.assert_close(rows, fit_relationship(*divided, direction=direction)[0])
    assert (rows - fit_relationship(*splits, direction=direction)[0]).abs().max() > 1e-2


@pytest.mark.parametrize("direction", ["direct", "reverse"])
def test_a_planted_relationship_is_ranked_first(direction):
    generator = torch.Generator().manual_seed(0)
    planted = torch.randperm(20, generator=generator)[:12].reshape(4, 3)
    labels = torch.arange(120) % 4
    category = planted[labels, torch.randint(3, (120,), generator=generator)]
    logits = torch.randn(120, 20, generator=generator)
    logits[range(120), category] += 6
    rows, _ = fit_relationship(
        logits[:80], labels[:80], logits[80:], labels[80:], 4, direction=direction
    )
    ranked = rows.topk(3, dim=1).indices.sort(dim=1).values
    assert torch.equal(ranked, planted.sort(dim=1).values)
    assert (rows.gather(1, planted).sum(dim=1) > 0.8).all()


@pytest.mark.parametrize("direction", ["direct", "reverse"])
@pytest.mark.parametrize("absent", [-torch.inf, -1e5], ids=["infinite", "underflow"])
def test_a_category_of_zero_mass_stays_at_zero(make_splits, direction, absent):
    splits = make_splits(5, noise=2.0)
    reference, _ = fit_relationship(*splits, direction=direction)
    wider = splits._replace(
        train_logits=torch.cat([splits.train_logits, torch.full((60, 1), absent)], dim=1),
        validation_logits=torch.cat([splits.validation_logits, torch.full((30, 1), absent)], dim=1),
    )
    rows, _ = fit_relationship(*wider, direction=direction)
    assert not rows[:, -1].any()
    torch.testing.assert_close(rows[:, :-1], reference, rtol=0, atol=1e-5)


def test_a_separated_validation_split_takes_the_weakest_regularization(make_splits):
    rows, g = fit_relationship(*make_splits(6, noise=0.1))
    assert (g.inverse_regularization, g.validation_accuracy) == (1e4, 1)
    assert (g.scale, g.scale_at_bound) == (100, True)
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(4).double())
