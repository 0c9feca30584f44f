"""The peers against plain implementations of their papers' formulas, gradients included."""

import copy

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Batch, compose, vanilla
from pipeline.cotuning.regularizers import (
    PEERS,
    bss,
    delta,
    feature_map_distance,
    l2_sp,
    last_convolutions,
    smallest_singular_values,
    stoch_norm,
)

CLASSES, BATCH = 3, 6
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
BI_TUNING = {"projection_size": 4, "queue_size": 2, "momentum": 0.9, "temperature": 0.1}


def new_model(seed=0):
    torch.manual_seed(seed)
    layers = []
    for inside, outside in ((3, 4), (4, 6), (6, 6), (6, 8), (8, 8)):
        block = nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()
        layers.append(nn.Sequential(*block))
    backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return CoTuningModel(backbone, nn.Linear(8, 5), 8, CLASSES)


@pytest.fixture
def model():
    return new_model()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, 3, 8, 8, generator=generator), torch.arange(BATCH) % CLASSES


def move(model, seed=3):
    """Weights as after some training; returns those from before."""
    before = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return before


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)


def assert_same_gradients(loss, reference, model):
    torch.testing.assert_close(loss, reference, **CLOSE)
    for got, expected in zip(gradients(loss, model), gradients(reference, model), strict=True):
        assert (got is None) == (expected is None)
        if got is not None:
            torch.testing.assert_close(got, expected, **CLOSE)


def penalty(part, model, images, labels):
    return sum(part.terms(Batch(images, labels), model(images)).values())


def head_decay(model):
    return 0.5 * (torch.norm(model.target_head.weight) ** 2 + model.target_head.bias.norm() ** 2)


def test_l2_sp_agrees_with_its_formula(model, batch):
    part = l2_sp(model, strength=0.3, head_strength=0.2)
    start = dict(move(model).backbone.named_parameters())
    reference = 0.2 * head_decay(model)
    for name, weight in model.backbone.named_parameters():
        reference = reference + 0.3 * 0.5 * torch.norm(weight - start[name].detach()) ** 2
    assert_same_gradients(penalty(part, model, *batch), reference, model)


def test_l2_sp_pulls_nothing_but_the_head_at_the_start(model, batch):
    loss = penalty(l2_sp(model, strength=1.0, head_strength=0.0), model, *batch)
    assert loss == 0
    assert all(not gradient.any() for gradient in gradients(loss, model) if gradient is not None)


def test_delta_agrees_with_its_formula(model, batch):
    part = delta(model, strength=0.01, head_strength=0.2)
    start = move(model).eval()
    model.train()
    images, labels = batch
    reference = 0.2 * head_decay(model)
    moved, still = images, images
    for index, layer in enumerate(model.backbone[:5]):
        maps, start_maps = layer[0](moved), start.backbone[index][0](still).detach()
        if index >= 1:  # the last four of five stages
            reference = reference + 0.01 * 0.5 * torch.norm(maps - start_maps) ** 2
        moved, still = layer[1:](maps), start.backbone[index][1:](start_maps)
    assert_same_gradients(penalty(part, model, images, labels), reference, model)


def test_feature_maps_are_weighted_by_attention_as_in_the_paper():
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, 4, 4), (2, 5, 2, 2)
    maps, start = ([torch.randn(shape, generator=generator) for shape in shapes] for _ in "ab")
    attention = [torch.softmax(torch.randn(shape[1], generator=generator), 0) for shape in shapes]
    expected = 0.0
    for layer, layer_start, weights in zip(maps, start, attention, strict=True):
        _, channels, height, width = layer.shape
        for channel in range(channels):
            distance = np.square((layer - layer_start)[:, channel].numpy()).sum()
            scale = channels * float(weights[channel]) / (height * width)
            expected += 0.5 * scale * distance
    got = feature_map_distance(maps, start, attention)
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_uniform_attention_counts_a_channel_by_its_mean_over_places():
    maps, start = [torch.ones(2, 3, 4, 4)], [torch.zeros(2, 3, 4, 4)]
    uniform = feature_map_distance(maps, start, [torch.full((3,), 1 / 3)])
    assert float(uniform) == pytest.approx(float(feature_map_distance(maps, start)) / 16)


def test_delta_compares_the_convolutions_that_its_authors_chose_in_a_resnet():
    backbone = torchvision.models.resnet50(weights=None)
    expected = ["layer1.2.conv3", "layer2.3.conv3", "layer3.5.conv3", "layer4.2.conv3"]
    assert last_convolutions(backbone, 4) == expected


def test_delta_compares_the_last_four_stages_of_an_efficientnet():
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    expected = ["blocks.3.2.conv_pwl", "blocks.4.2.conv_pwl", "blocks.5.3.conv_pwl"]
    assert last_convolutions(backbone, 4) == [*expected, "blocks.6.0.conv_pwl"]


def test_a_network_without_four_stages_is_refused():
    with pytest.raises(ValueError, match="expected 4 stages with convolutions in Sequential"):
        last_convolutions(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), 4)


@pytest.mark.parametrize("count", [1, 3])
def test_spectral_shrinkage_agrees_with_the_eigenvalues_of_the_gram_matrix(count):
    features = torch.randn(
        BATCH, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    values, vectors = np.linalg.eigh(features.numpy() @ features.numpy().T)
    tracked = features.float().requires_grad_()
    loss = smallest_singular_values(tracked, count)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(values[:count].sum(), rel=1e-5)
    smallest = vectors[:, :count]  # d(sigma^2)/dF = 2 u u^T F
    expected = torch.from_numpy(2 * smallest @ smallest.T @ features.numpy()).float()
    torch.testing.assert_close(tracked.grad, expected, **CLOSE)


def test_spectral_shrinkage_counts_only_as_many_values_as_a_small_batch_has():
    features = torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
    every = float(torch.linalg.matrix_norm(features).square())
    assert float(smallest_singular_values(features, 5)) == pytest.approx(every, rel=1e-5)


def test_bss_scales_the_penalty_of_the_pooled_features(model, batch):
    part = bss(model, strength=0.7, singular_values=2)
    reference = 0.7 * (torch.linalg.svdvals(model.backbone(batch[0]))[-2:] ** 2).sum()
    assert_same_gradients(penalty(part, model, *batch), reference, model)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_without_strength_is_vanilla_fine_tuning(name, batch):
    none = {
        "stoch-norm": {"probability": 1.0},
        "bss": {"strength": 0.0, "singular_values": 1},
        "label-smoothing": {"smoothing": 0.0},
        "bi-tuning": BI_TUNING | {"trade_off": 0.0},
    }
    strengths = none.get(name, {"strength": 0.0, "head_strength": 0.0})
    model, plain = new_model(), new_model()
    part = PEERS[name](model, **strengths)
    second = batch[0].flip(-1)
    terms = compose(part)(model.train(), Batch(*batch, second_images=second))
    reference = vanilla(plain.train(), Batch(*batch))["target_loss"]
    for got, expected in zip(
        gradients(sum(terms.values()), model), gradients(reference, plain), strict=True
    ):
        if got is not None and expected is not None:
            torch.testing.assert_close(got, expected)


def test_parts_of_a_method_share_one_pass(model, batch):
    passes = []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    parts = l2_sp(model, 0.1, 0.1), bss(model, 0.1, 1)
    terms = compose(*parts)(model, Batch(*batch))
    assert len(passes) == 1
    assert list(terms) == ["target_loss", "starting_point", "head_decay", "spectral_shrinkage"]


def test_penalties_of_weights_replace_the_optimizers_weight_decay(model):
    made = {
        "l2-sp": l2_sp(model, 0.1, 0.1),
        "delta": delta(model, 0.1, 0.1),
        "bss": bss(model, 0.1, 1),
        "stoch-norm": stoch_norm(model, 0.5),
    }
    assert [name for name, part in made.items() if part.replaces_weight_decay] == ["l2-sp", "delta"]
