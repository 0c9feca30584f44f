"""The terms of each method on a batch, against the loss that they sum up to."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.cotuning.losses import co_tuning_loss
from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import co_tuning, compose, vanilla


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
    terms = compose(co_tuning(relationship, 1.7))(model, images, labels)
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
    terms = objective(model, images, labels)
    assert ran == []
    reference = F.cross_entropy(model(images).target_logits, labels)
    torch.testing.assert_close(terms, {"target_loss": reference})


def test_a_negative_weight_is_refused(relationship):
    with pytest.raises(ValueError, match=r"source_weight must be at least 0, got -0\.1"):
        co_tuning(relationship, -0.1)
