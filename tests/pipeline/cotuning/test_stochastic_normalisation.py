"""Stochastic normalisation against its formula, and inside a network as it is published."""

import copy

import pytest
import timm
import torch
from torch import nn

from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.regularizers import stoch_norm

CLASSES = 3
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dimensions", [2, 4])
def test_stochastic_normalisation_agrees_with_its_formula(probability, dimensions):
    layer = nn.BatchNorm2d(7) if dimensions == 4 else nn.BatchNorm1d(7)
    generator = torch.Generator().manual_seed(5)
    for tensor in (layer.weight, layer.bias, layer.running_mean):
        tensor.data = torch.randn(7, generator=generator)
    layer.running_var = torch.rand(7, generator=generator) + 0.5
    mean, variance = layer.running_mean.clone(), layer.running_var.clone()
    weight, bias = (p.detach().clone().requires_grad_() for p in (layer.weight, layer.bias))
    shape = (9, 7, 3, 3)[:dimensions]
    images = torch.randn(shape, generator=generator, requires_grad=True)
    stoch_norm(CoTuningModel(nn.Sequential(layer), nn.Linear(7, 2), 7, 2), probability)

    torch.manual_seed(11)
    got = layer.train()(images)
    torch.manual_seed(11)
    by_batch = (torch.rand(7) < probability).float()
    axes = (0, 2, 3)[: dimensions - 1]
    wide = (1, 7, 1, 1)[:dimensions]
    batch_mean, batch_variance = images.mean(axes), images.var(axes, correction=0)
    centre = by_batch * batch_mean + (1 - by_batch) * mean
    spread = by_batch * batch_variance + (1 - by_batch) * variance
    scaled = (images - centre.view(wide)) / (spread.view(wide) + layer.eps).sqrt()
    expected = scaled * weight.view(wide) + bias.view(wide)

    torch.testing.assert_close(got, expected, **CLOSE)
    pull = torch.randn(shape, generator=generator)
    expected_gradients = torch.autograd.grad((expected * pull).sum(), (images, weight, bias))
    got_gradients = torch.autograd.grad((got * pull).sum(), (images, layer.weight, layer.bias))
    torch.testing.assert_close(got_gradients, expected_gradients, rtol=1e-4, atol=1e-5)
    count = images.numel() / 7
    unbiased = batch_variance.detach() * count / (count - 1)
    torch.testing.assert_close(layer.running_mean, 0.9 * mean + 0.1 * batch_mean.detach(), **CLOSE)
    torch.testing.assert_close(layer.running_var, 0.9 * variance + 0.1 * unbiased, **CLOSE)


def test_stochastic_normalisation_keeps_state_evaluation_and_fused_activations():
    plain = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    stochastic = copy.deepcopy(plain)
    stoch_norm(CoTuningModel(stochastic, nn.Linear(1280, 5), 1280, CLASSES), probability=1.0)
    assert list(stochastic.state_dict()) == list(plain.state_dict())
    images = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(stochastic.eval()(images), plain.eval()(images))
    # With probability 1 it is ordinary batch normalisation, and the activations are applied once.
    torch.testing.assert_close(stochastic.train()(images), plain.train()(images))
    torch.testing.assert_close(dict(stochastic.named_buffers()), dict(plain.named_buffers()))


def test_some_channels_are_normalised_by_the_batch_and_others_by_moving_statistics():
    layer = nn.BatchNorm2d(8)
    stoch_norm(CoTuningModel(nn.Sequential(layer), nn.Linear(8, 2), 8, 2), probability=0.5)
    layer.running_mean += 100.0
    values = torch.randn(6, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    chosen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        moving = layer.train()(values).mean(dim=(0, 2, 3)) < -1
        chosen.add(tuple(moving.tolist()))
    assert len(chosen) > 10
