"""The loss against a plain loop, its limits, and the inputs that it refuses."""

import math

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cotuning.losses import co_tuning_loss, translated_cross_entropy


def random_batch(seed, batch=7, target=3, source=11, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    target_logits = scale * torch.randn(batch, target, generator=generator)
    source_logits = scale * torch.randn(batch, source, generator=generator)
    labels = torch.randint(target, (batch,), generator=generator)
    relationship = torch.randn(target, source, generator=generator).double().softmax(dim=1)
    return target_logits, source_logits, labels, relationship


def log_softmax(row):
    top = max(row)
    total = math.log(sum(math.exp(value - top) for value in row))
    return [value - top - total for value in row]


def loss_by_loop(target_logits, source_logits, labels, relationship, source_weight):
    loss = 0.0
    relationship = relationship.tolist()
    rows = zip(target_logits.tolist(), source_logits.tolist(), labels.tolist(), strict=True)
    for target_row, source_row, label in rows:
        loss -= log_softmax(target_row)[label]
        for mass, log_probability in zip(relationship[label], log_softmax(source_row), strict=True):
            loss -= source_weight * mass * log_probability
    return loss / len(labels)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 20),
    target=st.integers(1, 6),
    source=st.integers(1, 30),
    source_weight=st.floats(0, 10),
)
def test_the_loss_agrees_with_a_plain_loop(seed, batch, target, source, source_weight):
    inputs = random_batch(seed, batch, target, source)
    reference = loss_by_loop(*inputs, source_weight)
    assert float(co_tuning_loss(*inputs, source_weight)) == pytest.approx(reference, rel=1e-5)
    source_loss = float(translated_cross_entropy(*inputs[1:]))
    without = loss_by_loop(*inputs, 0.0)
    assert source_loss == pytest.approx(loss_by_loop(*inputs, 1.0) - without, abs=1e-5)


def test_the_default_weight_is_that_of_the_authors():
    inputs = random_batch(0)
    assert float(co_tuning_loss(*inputs)) == pytest.approx(loss_by_loop(*inputs, 2.3), rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 20))
def test_weight_zero_is_plain_cross_entropy(seed, batch):
    target_logits, source_logits, labels, relationship = random_batch(seed, batch)
    loss = co_tuning_loss(target_logits, source_logits, labels, relationship, 0.0)
    assert torch.equal(loss, F.cross_entropy(target_logits, labels))
    unknown = torch.full_like(source_logits, torch.nan)
    assert torch.equal(co_tuning_loss(target_logits, unknown, labels, relationship, 0.0), loss)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), categories=st.lists(st.integers(0, 10), min_size=3, max_size=3))
def test_a_one_hot_relationship_is_cross_entropy_of_the_source_head(seed, categories):
    _, source_logits, labels, _ = random_batch(seed)
    categories = torch.tensor(categories)
    relationship = F.one_hot(categories, 11).float()
    loss = translated_cross_entropy(source_logits, labels, relationship)
    torch.testing.assert_close(loss, F.cross_entropy(source_logits, categories[labels]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(2, 20))
def test_a_batch_weighs_each_of_its_samples_alike(seed, batch):
    target_logits, source_logits, labels, relationship = random_batch(seed, batch)
    alone = [
        co_tuning_loss(
            target_logits[i, None], source_logits[i, None], labels[i, None], relationship
        )
        for i in range(batch)
    ]
    together = co_tuning_loss(target_logits, source_logits, labels, relationship)
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_the_gradient_pulls_each_prediction_to_its_translated_label():
    target_logits, source_logits, labels, relationship = random_batch(1)
    target_logits.requires_grad_()
    source_logits.requires_grad_()
    co_tuning_loss(target_logits, source_logits, labels, relationship, 0.7).backward()
    target_gap = target_logits.softmax(dim=1) - F.one_hot(labels, 3)
    source_gap = source_logits.softmax(dim=1) - relationship[labels].float()
    torch.testing.assert_close(target_logits.grad, target_gap / 7)
    torch.testing.assert_close(source_logits.grad, 0.7 * source_gap / 7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_is_computed_in_float32(dtype):
    target_logits, source_logits, labels, relationship = random_batch(2, source=1000, scale=100.0)
    target_logits, source_logits = target_logits.to(dtype), source_logits.to(dtype)
    loss = co_tuning_loss(target_logits, source_logits, labels, relationship)
    assert loss.dtype == torch.float32
    reference = loss_by_loop(target_logits, source_logits, labels, relationship, 2.3)
    assert float(loss) == pytest.approx(reference, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32])
def test_labels_of_any_integer_type_count_alike(dtype):
    target_logits, source_logits, labels, relationship = random_batch(3)
    reference = co_tuning_loss(target_logits, source_logits, labels, relationship)
    loss = co_tuning_loss(target_logits, source_logits, labels.to(dtype), relationship)
    assert torch.equal(loss, reference)


def test_enormous_logits_give_a_finite_loss():
    inputs = random_batch(4, scale=1e6)
    assert float(co_tuning_loss(*inputs)) == pytest.approx(loss_by_loop(*inputs, 2.3), rel=1e-5)


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"source_weight must be at least 0, got -0\.1"):
        co_tuning_loss(*random_batch(0), -0.1)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_is_refused(label):
    target_logits, source_logits, labels, relationship = random_batch(0)
    labels[2] = label
    with pytest.raises(IndexError, match="out of range"):
        translated_cross_entropy(source_logits, labels, relationship)
    with pytest.raises(IndexError, match=f"Target {label} is out of bounds"):
        co_tuning_loss(target_logits, source_logits, labels, relationship)


@pytest.mark.usefixtures("without_shape_checks")
class TestMismatchedShapes:
    def test_other_source_categories_are_refused(self):
        target_logits, source_logits, labels, relationship = random_batch(0)
        message = r"source_logits has \(7, 11\) and relationship \(3, 10\).*source categories"
        with pytest.raises(ValueError, match=message):
            co_tuning_loss(target_logits, source_logits, labels, relationship[:, :10])

    def test_other_target_classes_are_refused(self):
        target_logits, source_logits, labels, relationship = random_batch(0)
        message = r"target_logits has \(7, 2\) and relationship \(3, 11\).*target classes"
        with pytest.raises(ValueError, match=message):
            co_tuning_loss(target_logits[:, :2], source_logits, labels % 2, relationship)

    def test_another_batch_size_of_the_source_head_is_refused(self):
        target_logits, source_logits, labels, relationship = random_batch(0)
        message = r"source_logits has \(6, 11\) and labels \(7,\).*the batch, must agree"
        with pytest.raises(ValueError, match=message):
            co_tuning_loss(target_logits, source_logits[:6], labels, relationship)

    def test_another_batch_size_of_the_target_head_is_refused(self):
        target_logits, source_logits, labels, relationship = random_batch(0)
        with pytest.raises(ValueError, match=r"batch_size \(6\).*batch_size \(7\)"):
            co_tuning_loss(target_logits[:6], source_logits, labels, relationship)


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_the_annotations_refuse_a_wrong_shape(position):
    inputs = list(random_batch(0))
    inputs[position] = inputs[position][:-1]
    with pytest.raises(jaxtyping.TypeCheckError, match=r"batch|target"):
        co_tuning_loss(*inputs)
