"""What an R knows, against plain loops, exact entropies and what must hold of any data."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cotuning.folds import stratified_folds
from pipeline.cotuning.knowledge import (
    PSEUDO_SAMPLES,
    choose_pseudo_samples,
    choose_way,
    classify_by_relationship,
    cross_validated_knowledge,
    direct_learner,
    knowledge_of_samples,
    smoothed,
)
from pipeline.cotuning.posterior import posterior_labels
from pipeline.cotuning.relationship import direct_relationship
from pipeline.cotuning.reverse import fit_reverse_classifier_by_likelihood, relearned

CLASSES, CATEGORIES = 3, 6


def random_case(seed, samples=30):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(samples, CATEGORIES, generator=generator).mul(3).softmax(dim=1)
    return probabilities.double(), torch.arange(samples) % CLASSES


def telling_case(seed, samples, sharpness):
    """Predictions that favour the two categories of their class, with noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % CLASSES
    logits = torch.randn(samples, CATEGORIES, generator=generator)
    for part in range(2):
        logits[torch.arange(samples), 2 * labels + part] += sharpness
    return logits.double().softmax(dim=1), labels


def test_knowledge_is_a_difference_of_cross_entropies():
    probabilities, labels = random_case(0)
    relationship = direct_relationship(probabilities, labels, CLASSES)
    marginal = probabilities.mean(dim=0)
    rows = 0.999 * relationship.numpy() + 0.001 / CATEGORIES
    base = 0.999 * marginal.numpy() + 0.001 / CATEGORIES
    expected = [
        sum(p[s] * (math.log(rows[y, s]) - math.log(base[s])) for s in range(CATEGORIES))
        for p, y in zip(probabilities.numpy(), labels.numpy(), strict=True)
    ]
    found = knowledge_of_samples(relationship, marginal, probabilities, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_who_knows_the_class_by_the_category_knows_its_entropy():
    relationship = torch.eye(CLASSES, CATEGORIES).double()
    predictions, labels = relationship[torch.arange(30) % CLASSES], torch.arange(30) % CLASSES
    found = knowledge_of_samples(relationship, predictions.mean(dim=0), predictions, labels)
    torch.testing.assert_close(found.mean(), torch.tensor(math.log(3)).double(), atol=0.002, rtol=0)


@given(seed=st.integers(0, 1000))
def test_the_marginal_in_every_row_knows_nothing_and_a_shuffled_relationship_less(seed):
    probabilities, labels = telling_case(seed, 60, 3.0)
    marginal = probabilities.mean(dim=0)
    rows = marginal.expand(CLASSES, -1)
    assert not knowledge_of_samples(rows, marginal, probabilities, labels).any()
    learned = direct_relationship(probabilities, labels, CLASSES)
    knows, misled = (
        float(knowledge_of_samples(relationship, marginal, probabilities, labels).mean())
        for relationship in (learned, learned.roll(1, dims=0))
    )
    assert misled < 0 < knows


def test_an_image_is_of_the_class_whose_row_explains_its_prediction_best():
    probabilities, labels = telling_case(0, 60, 3.0)
    relationship = direct_relationship(probabilities, labels, CLASSES)
    log_target = classify_by_relationship(relationship, probabilities)
    torch.testing.assert_close(log_target.exp().sum(dim=1), torch.ones(60).double())
    entropies = -(probabilities[:, None] * smoothed(relationship).log()).sum(dim=2)
    assert torch.equal(log_target.argmax(dim=1), entropies.argmin(dim=1))
    assert (log_target.argmax(dim=1) == labels).double().mean() > 0.9


@given(counts=st.lists(st.integers(1, 12), min_size=2, max_size=5), folds=st.integers(2, 6))
def test_every_sample_is_held_out_once_but_the_only_one_of_its_class(counts, folds):
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    held = []
    for kept, held_out in stratified_folds(labels, folds):
        assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(labels)))
        assert set(labels[kept].tolist()) == set(range(len(counts)))
        held += held_out.tolist()
    expected = [place for place, label in enumerate(labels.tolist()) if counts[label] > 1]
    assert sorted(held) == expected


def test_cross_validation_holds_against_learning_and_looking_fold_by_fold():
    probabilities, labels = random_case(3)
    nats, right = [], []
    for kept, held_out in stratified_folds(labels, 5):
        relationship = direct_relationship(probabilities[kept], labels[kept], CLASSES)
        marginal = probabilities[kept].mean(dim=0)
        for sample in held_out.tolist():
            p, y = probabilities[sample], int(labels[sample])
            ratio = smoothed(relationship[y]).log() - smoothed(marginal).log()
            nats.append(float(p @ ratio))
            right.append(int((smoothed(relationship).log() @ p).argmax()) == y)
    found = cross_validated_knowledge(
        lambda p, y: direct_relationship(p, y, CLASSES), probabilities, labels
    )
    assert found.nats == pytest.approx(np.mean(nats))
    assert found.standard_error == pytest.approx(np.std(nats, ddof=1) / math.sqrt(30))
    assert found.accuracy == pytest.approx(np.mean(right))


def test_nothing_can_be_held_out_of_one_sample_a_class():
    probabilities, _ = random_case(0, 3)
    with pytest.raises(ValueError, match="every class has one only"):
        cross_validated_knowledge(lambda p, y: p, probabilities, torch.arange(3))


def test_the_chosen_prior_knows_most_and_is_strong_where_predictions_say_nothing():
    probabilities, labels = random_case(1)
    chosen, found = choose_pseudo_samples(probabilities, labels, CLASSES)
    assert chosen == max(PSEUDO_SAMPLES)
    assert abs(found.nats) < 3 * found.standard_error
    telling, labels = telling_case(1, 300, 6.0)
    chosen, found = choose_pseudo_samples(telling, labels, CLASSES)
    assert chosen <= 1
    assert found.nats > 0.5
    assert found.accuracy > 0.95
    for pseudo_samples in PSEUDO_SAMPLES:
        assert choose_pseudo_samples(telling, labels, CLASSES, [pseudo_samples])[1].nats <= (
            found.nats
        )


@given(seed=st.integers(0, 1000), pseudo_samples=st.floats(0, 1e6))
def test_pseudo_samples_draw_each_row_from_its_mean_to_the_marginal(seed, pseudo_samples):
    probabilities, labels = random_case(seed)
    marginal, plain = probabilities.mean(dim=0), direct_relationship(probabilities, labels, CLASSES)
    found = direct_relationship(probabilities, labels, CLASSES, pseudo_samples)
    share = pseudo_samples / (10 + pseudo_samples)
    torch.testing.assert_close(found, (1 - share) * plain + share * marginal)


def test_a_negative_prior_is_refused():
    with pytest.raises(ValueError, match=r"pseudo_samples must be at least 0, got -1\.0"):
        direct_relationship(*random_case(0), CLASSES, -1.0)


def test_a_posterior_label_is_bayes_rule_category_by_category():
    predictions, labels = random_case(5, 12)
    relationship = smoothed(direct_relationship(predictions, labels, CLASSES))
    marginal = smoothed(predictions.mean(dim=0))
    found = posterior_labels(predictions, labels, relationship, predictions.mean(dim=0))
    for image, label in enumerate(labels.tolist()):
        joint = [
            float(
                predictions[image, s] * (0.999 * relationship[label, s] + 0.001 / 6) / marginal[s]
            )
            for s in range(CATEGORIES)
        ]
        expected = torch.tensor(joint).double() / sum(joint)
        torch.testing.assert_close(found[image], expected)


def test_a_relationship_that_knows_nothing_leaves_the_prediction():
    predictions, labels = random_case(6, 12)
    marginal = predictions.mean(dim=0)
    found = posterior_labels(predictions, labels, marginal.expand(CLASSES, -1), marginal)
    torch.testing.assert_close(found, predictions)


@pytest.mark.parametrize("seed", range(5))
def test_the_way_that_is_chosen_knows_most(seed):
    probabilities, labels = telling_case(seed, 45, 2.0)
    direction, pseudo_samples = choose_way(probabilities, labels, CLASSES)
    classifier = fit_reverse_classifier_by_likelihood(probabilities, labels, CLASSES)
    ways = {("direct", a): direct_learner(CLASSES, a) for a in PSEUDO_SAMPLES}
    ways["reverse", 0.0] = partial(relearned, classifier)
    knows = {
        way: cross_validated_knowledge(learn, probabilities, labels).nats
        for way, learn in ways.items()
    }
    assert knows[direction, pseudo_samples] == max(knows.values())
