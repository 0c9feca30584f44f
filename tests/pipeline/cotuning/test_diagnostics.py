"""LEEP, NCE and the looks at R and at the source head against plain loops and SciPy."""

import math

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr
from sklearn.metrics import mutual_info_score

from pipeline.cotuning.diagnostics import (
    SimilarRows,
    class_means,
    leep_conditional,
    leep_log_predictor,
    leep_score,
    majority_accuracy,
    most_similar_rows,
    nce_score,
    row_entropies,
    source_head_divergence,
)
from pipeline.cotuning.losses import translated_cross_entropy


def random_predictions(seed, batch=40, source=6, target=3):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, source, generator=generator)
    labels = torch.randint(target, (batch,), generator=generator)
    return logits.double().softmax(dim=1), labels


def conditional_by_loop(probabilities, labels, target):
    source = len(probabilities[0])
    joint = [[0.0] * source for _ in range(target)]
    for row, label in zip(probabilities, labels, strict=True):
        for category in range(source):
            joint[label][category] += row[category] / len(labels)
    marginal = [
        sum(joint[label][category] for label in range(target)) for category in range(source)
    ]
    return [[joint[t][s] / marginal[s] for s in range(source)] for t in range(target)]


def leep_by_loop(probabilities, labels, target):
    conditional = conditional_by_loop(probabilities, labels, target)
    total = 0.0
    for row, label in zip(probabilities, labels, strict=True):
        total += math.log(sum(p * c for p, c in zip(row, conditional[label], strict=True)))
    return total / len(labels)


@pytest.mark.parametrize("seed", range(4))
def test_leep_agrees_with_a_plain_loop(seed):
    probabilities, labels = random_predictions(seed)
    rows, classes = probabilities.tolist(), labels.tolist()
    reference = torch.tensor(conditional_by_loop(rows, classes, 3), dtype=torch.double)
    torch.testing.assert_close(leep_conditional(probabilities, labels, 3), reference)
    score = leep_score(probabilities, labels, 3)
    assert score == pytest.approx(leep_by_loop(rows, classes, 3), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_nce_is_the_conditional_entropy_of_the_labels(seed):
    probabilities, labels = random_predictions(seed)
    frequency = (labels.bincount() / len(labels)).tolist()
    entropy = -sum(p * math.log(p) for p in frequency)
    reference = mutual_info_score(labels, probabilities.argmax(dim=1)) - entropy
    assert nce_score(probabilities, labels, 3) == pytest.approx(reference, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 30), target=st.integers(1, 5))
def test_scores_are_at_most_zero_and_columns_sum_to_one(seed, batch, target):
    probabilities, labels = random_predictions(seed, batch, target=target)
    assert leep_score(probabilities, labels, target) <= 1e-12
    assert nce_score(probabilities, labels, target) <= 1e-12
    columns = leep_conditional(probabilities, labels, target).sum(dim=0)
    torch.testing.assert_close(columns, torch.ones_like(columns))


def test_source_predictions_that_name_the_class_score_zero():
    labels = torch.tensor([0, 1, 2, 2])
    named = torch.eye(5)[labels + 1]
    assert leep_score(named, labels, 3) == nce_score(named, labels, 3) == 0


def test_uninformative_predictions_score_the_entropy_of_the_labels():
    labels = torch.tensor([0, 0, 0, 1])
    uniform = torch.full((4, 5), 0.2)
    reference = 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert leep_score(uniform, labels, 2) == pytest.approx(reference)
    assert nce_score(uniform, labels, 2) == pytest.approx(reference)


def test_a_category_of_zero_mass_says_what_the_labels_say():
    probabilities, labels = random_predictions(5)
    probabilities = torch.cat([probabilities, torch.zeros(40, 1)], dim=1)
    column = leep_conditional(probabilities, labels, 3)[:, -1]
    torch.testing.assert_close(column, labels.bincount(minlength=3).double() / 40)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_impossible_class_has_a_finite_log_likelihood(dtype):
    conditional = torch.tensor([[1.0, 1.0], [0.0, 0.0]], dtype=dtype)
    log_predictor = leep_log_predictor(torch.full((1, 2), 0.5, dtype=dtype), conditional)
    assert log_predictor.tolist() == [[0, pytest.approx(math.log(torch.finfo(dtype).tiny))]]


def test_entropy_of_a_row_goes_from_one_category_to_all():
    relationship = torch.tensor([[0, 1, 0, 0], [0.25] * 4, [0.5, 0, 0.5, 0], [0.7, 0.1, 0.1, 0.1]])
    mixed = -0.7 * math.log(0.7) - 0.3 * math.log(0.1)
    reference = [0, math.log(4), math.log(2), mixed]
    assert row_entropies(relationship).tolist() == pytest.approx(reference)


def cosine(first, second):
    dot = sum(a * b for a, b in zip(first, second, strict=True))
    return dot / math.hypot(*first) / math.hypot(*second)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), target=st.integers(2, 7))
def test_the_most_similar_rows_agree_with_a_plain_loop(seed, target):
    relationship, _ = random_predictions(seed, target)
    rows = relationship.tolist()
    pairs = {(i, j): cosine(rows[i], rows[j]) for i in range(target) for j in range(i)}
    (second, first), largest = max(pairs.items(), key=lambda pair: pair[1])
    assert most_similar_rows(relationship) == (first, second, pytest.approx(largest))


def test_rows_that_share_no_category_have_cosine_zero():
    assert most_similar_rows(torch.eye(3)) == SimilarRows(0, 1, 0.0)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_are_refused(rows):
    with pytest.raises(ValueError, match=f"two rows are needed to compare, got {rows}"):
        most_similar_rows(torch.ones(rows, 4))


def test_majority_accuracy_counts_the_most_frequent_label():
    assert majority_accuracy(torch.tensor([2, 0, 2, 2, 1, 5, 2, 0])) == 0.5


def random_source_head(seed, batch=20, source=6, target=3):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, source, generator=generator)
    labels = torch.randint(target, (batch,), generator=generator)
    relationship = torch.randn(target, source, generator=generator).double().softmax(dim=1)
    relationship[0] = torch.eye(source)[2]
    return logits, labels, relationship


@pytest.mark.parametrize("seed", range(4))
def test_the_divergence_is_the_relative_entropy_of_scipy_also_where_a_row_has_zeros(seed):
    logits, labels, relationship = random_source_head(seed)
    predicted = logits.double().softmax(dim=1).numpy()
    reference = rel_entr(relationship[labels].numpy(), predicted).sum(axis=1)
    found = source_head_divergence(logits, labels, relationship)
    assert found.tolist() == pytest.approx(reference.tolist(), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 30), source=st.integers(3, 9))
def test_the_divergence_is_what_training_minimises_less_the_entropy_of_the_label(
    seed, batch, source
):
    logits, labels, relationship = random_source_head(seed, batch, source)
    divergence = source_head_divergence(logits, labels, relationship)
    assert divergence.min() >= -1e-12
    entropy = row_entropies(relationship)[labels].mean()
    loss = translated_cross_entropy(logits, labels, relationship)
    assert float(divergence.mean() + entropy) == pytest.approx(float(loss), abs=1e-5)


def test_a_source_head_that_predicts_the_row_is_at_distance_zero():
    _, labels, relationship = random_source_head(0)
    relationship = relationship[1:]
    labels = labels % 2
    shifted = relationship[labels].log() + 7
    torch.testing.assert_close(
        source_head_divergence(shifted, labels, relationship), torch.zeros(20).double()
    )


def test_a_confident_source_head_is_far_but_not_infinitely_far():
    logits = torch.tensor([[5000.0, 0.0, 0.0]])
    relationship = torch.tensor([[0.0, 1.0, 0.0]])
    found = source_head_divergence(logits, torch.tensor([0]), relationship)
    assert found.tolist() == [pytest.approx(5000)]


def test_a_category_that_neither_knows_adds_nothing():
    logits, labels, relationship = random_source_head(1)
    wider = torch.cat([logits, torch.full((20, 1), -torch.inf)], dim=1)
    found = source_head_divergence(
        wider, labels, torch.cat([relationship, torch.zeros(3, 1)], dim=1)
    )
    torch.testing.assert_close(found, source_head_divergence(logits, labels, relationship))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_without_a_row_has_no_divergence(label):
    logits, _, relationship = random_source_head(0, batch=1)
    with pytest.raises(IndexError):
        source_head_divergence(logits, torch.tensor([label]), relationship)


def test_means_by_class_have_none_for_a_class_without_a_value():
    values, labels = torch.tensor([1.0, 5.0, 0.25]), torch.tensor([3, 0, 3])
    means = class_means(values, labels, 5)
    assert means[[0, 3]].tolist() == [5.0, 0.625]
    assert means[[1, 2, 4]].isnan().all()


def test_the_annotations_refuse_another_number_of_labels():
    probabilities, labels = random_predictions(0)
    with pytest.raises(jaxtyping.TypeCheckError, match="labels"):
        leep_score(probabilities, labels[1:], 3)
