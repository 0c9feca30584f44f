"""One backbone pass for both heads, what learns how fast, and what is deployed."""

import pytest
import torch
from torch import nn

from pipeline.cotuning.losses import co_tuning_loss
from pipeline.cotuning.model import CoTuningModel

LABELS = torch.tensor([0, 1, 2, 1])


@pytest.fixture
def model():
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return CoTuningModel(backbone, nn.Linear(8, 20), feature_size=8, target_classes=3)


@pytest.fixture
def images():
    return torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def relationship():
    return torch.rand(3, 20, generator=torch.Generator().manual_seed(2)).softmax(dim=1)


def count_passes(module):
    passes = []
    module.register_forward_hook(lambda *_: passes.append(1))
    return passes


def test_both_heads_read_the_feature_of_one_backbone_pass(model, images):
    passes = count_passes(model.backbone)
    outputs = model(images)
    assert len(passes) == 1
    assert outputs.features.shape == (4, 8)
    assert torch.equal(outputs.target_logits, model.target_head(outputs.features))
    assert torch.equal(outputs.source_logits, model.source_head(outputs.features))


def test_the_source_network_gives_the_source_logits_of_the_model_as_it_is(model, images):
    with torch.no_grad():
        model.source_head.weight.add_(1)
    assert torch.equal(model.source_network()(images), model(images).source_logits)


def test_the_loss_reaches_both_heads_and_the_backbone(model, images, relationship):
    outputs = model(images)
    co_tuning_loss(outputs.target_logits, outputs.source_logits, LABELS, relationship).backward()
    assert all(value.grad.abs().max() > 1e-6 for value in model.parameters())


def test_each_head_adds_its_gradient_to_the_shared_feature(model, images, relationship):
    def feature_gradient(source_weight):
        outputs = model(images)
        outputs.features.retain_grad()
        logits = outputs.target_logits, outputs.source_logits
        co_tuning_loss(*logits, LABELS, relationship, source_weight).backward()
        return outputs.features.grad

    target, both, double = (feature_gradient(weight) for weight in (0.0, 1.0, 2.0))
    assert target.any()
    assert (both - target).abs().max() > 1e-3
    torch.testing.assert_close(double - target, 2 * (both - target))


def test_the_source_head_does_not_run_unless_asked_for(model, images):
    passes = count_passes(model.source_head)
    outputs = model(images, with_source=False)
    assert outputs.source_logits is None
    assert passes == []
    assert torch.equal(outputs.target_logits, model(images).target_logits)
    assert len(passes) == 1


def test_the_target_head_starts_near_zero_and_the_source_head_is_kept():
    torch.manual_seed(0)
    source_head = nn.Linear(500, 20)
    before = source_head.weight.clone()
    model = CoTuningModel(nn.Identity(), source_head, feature_size=500, target_classes=200)
    weight = model.target_head.weight.detach()
    assert weight.shape == (200, 500)
    assert float(weight.mean()) == pytest.approx(0, abs=1e-4)
    assert float(weight.std()) == pytest.approx(0.01, rel=0.01)
    tail = (weight.abs() > 0.02).float().mean()
    assert float(tail) == pytest.approx(0.0455, abs=0.003)
    assert not model.target_head.bias.any()
    assert torch.equal(model.source_head.weight, before)


def test_parameter_groups_hold_each_parameter_once_at_its_rate(model):
    groups = model.parameter_groups(1e-3)
    rates = [(id(value), group["lr"]) for group in groups for value in group["params"]]
    assert len(rates) == len(dict(rates))
    assert dict(rates) == {
        id(value): pytest.approx(1e-2 if name.startswith("target_head") else 1e-3)
        for name, value in model.named_parameters()
    }


def test_the_target_head_factor_scales_its_rate_alone(model):
    pretrained, target_head = model.parameter_groups(0.5, target_head_factor=3.0)
    assert (pretrained["lr"], target_head["lr"]) == (0.5, 1.5)


def test_an_optimizer_moves_the_new_head_ten_times_as_far(model):
    optimizer = torch.optim.SGD(model.parameter_groups(1e-3), lr=0.0)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    sum(value.sum() for value in model.parameters()).backward()
    optimizer.step()
    for name, value in model.named_parameters():
        step = 1e-2 if name.startswith("target_head") else 1e-3
        torch.testing.assert_close(before[name] - value, torch.full_like(value, step))


def test_the_deployed_network_gives_the_target_logits_without_the_source_head(model, images):
    model.eval()
    deployed = model.deploy()
    assert torch.equal(deployed(images), model(images).target_logits)
    kept = {id(value) for value in deployed.parameters()}
    assert kept == {
        id(value) for name, value in model.named_parameters() if not name.startswith("source_head")
    }
