"""The terms of each method on a batch, against the loss that they sum up to."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.cotuning.losses import co_tuning_loss
from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Batch, co_tuning, compose, image_labels, vanilla
from pipeline.cotuning.regularizers import label_smoothing


@pytest.fixture
def model():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
    return CoTuningModel(backbone, nn.Linear(8, 20), feature_size=8, target_classes=3)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 3, 2, 2, generator=generator), torch.tensor([0, 1, 2, 1, 1])


@pytest.fixture
def relationship():
    return torch.rand(3, 20, generator=torch.Generator().manual_seed(2)).softmax(dim=1)


def test_the_terms_of_co_tuning_sum_to_its_loss(model, batch, relationship):
    images, labels = batch
    outputs = model(images)
    terms = compose(co_tuning(relationship, 1.7))(model, Batch(images, labels))
    logits = outputs.target_logits, outputs.source_logits
    torch.testing.assert_close(
        sum(terms.values()), co_tuning_loss(*logits, labels, relationship, 1.7)
    )
    torch.testing.assert_close(terms["target_loss"], F.cross_entropy(outputs.target_logits, labels))


@pytest.mark.parametrize("weight", [None, 0.0])
def test_vanilla_and_weight_zero_never_run_the_source_head(model, batch, relationship, weight):
    objective = vanilla if weight is None else compose(co_tuning(relationship, weight))
    ran = []
    model.source_head.register_forward_hook(lambda *_: ran.append(1))
    images, labels = batch
    terms = objective(model, Batch(images, labels))
    assert ran == []
    reference = F.cross_entropy(model(images).target_logits, labels)
    torch.testing.assert_close(terms, {"target_loss": reference})


def test_a_negative_weight_is_refused(relationship):
    with pytest.raises(ValueError, match=r"source_weight must be at least 0, got -0\.1"):
        co_tuning(relationship, -0.1)


def test_each_image_is_taught_its_own_label(model, batch):
    images, labels = batch
    source_labels = torch.rand(7, 20, generator=torch.Generator().manual_seed(3)).softmax(dim=1)
    known, seen = torch.tensor([30, 4, 11, 7, 0, 2, 9]), torch.tensor([9, 4, 30, 0, 2])
    part = image_labels(source_labels, known, 1.5)
    terms = compose(part)(model, Batch(images, labels, seen))
    logs = model(images).source_logits.log_softmax(dim=1)
    own = torch.stack([source_labels[known.tolist().index(row)] for row in seen.tolist()])
    torch.testing.assert_close(terms["source_loss"], -1.5 * (own * logs).sum(dim=1).mean())


@pytest.mark.parametrize("smoothing", [0.1, 0.6])
def test_smoothed_labels_change_the_target_loss_alone(model, batch, relationship, smoothing):
    images, labels = batch
    parts = label_smoothing(model, smoothing), co_tuning(relationship, 1.7)
    terms = compose(*parts)(model, Batch(images, labels))
    unsmoothed = compose(parts[1])(model, Batch(images, labels))
    assert torch.equal(terms["source_loss"], unsmoothed["source_loss"])
    losses = []
    for logits, label in zip(model(images).target_logits.tolist(), labels.tolist(), strict=True):
        total = math.log(sum(map(math.exp, logits)))
        shares = [smoothing / 3 + (1 - smoothing) * (label == other) for other in range(3)]
        losses.append(sum(p * (total - z) for p, z in zip(shares, logits, strict=True)))
    assert terms["target_loss"].item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
