"""Bi-tuning against loops over the formulas of its paper, step after step, gradients included."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.cotuning.bi_tuning import bi_tuning, categorical_contrastive_loss
from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Batch, compose

CLASSES, KEYS, PROJECTION, FEATURES = 3, 2, 4, 5
SETTINGS = {
    "trade_off": 0.7,
    "projection_size": PROJECTION,
    "queue_size": KEYS,
    "momentum": 0.8,
    "temperature": 0.3,
}
# One class more often than its queue is long, and one that is missing.
LABELS = ([0, 1, 2, 1], [0, 2, 0, 0], [1, 2, 1, 1])


@pytest.fixture
def model():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, FEATURES), nn.BatchNorm1d(FEATURES))
    model = CoTuningModel(backbone, nn.Linear(FEATURES, 6), FEATURES, CLASSES)
    nn.init.normal_(model.target_head.bias)
    return model


def batches():
    generator = torch.Generator().manual_seed(1)
    for labels in LABELS:
        first, second = torch.randn(2, len(labels), 3, 2, 2, generator=generator)
        yield Batch(first, torch.tensor(labels), second_images=second)


def unit(vector):
    return vector / vector.square().sum().sqrt()


def one_loss(own, by_class, label, temperature):
    """-1/(K+1) sum over positives of the log of their share in the softmax."""
    every = [own, *(similarity for keys in by_class for similarity in keys)]
    total = torch.stack([torch.exp(similarity / temperature) for similarity in every]).sum()
    positive = [own, *by_class[label]]
    return -sum(s / temperature - total.log() for s in positive) / len(positive)


class ByHand:
    """The method as a loop over samples, classes and keys, from a part's random start."""

    def __init__(self, model, keys):
        self.model, self.projector = model, keys.projector
        self.slow = copy.deepcopy(model.backbone)
        self.slow_projector = copy.deepcopy(keys.projector)
        self.features = [list(queue) for queue in keys.features.clone()]
        self.projections = [list(queue) for queue in keys.projections.clone()]
        self.oldest = [0] * CLASSES

    def loss(self, batch, trade_off, momentum, temperature):
        pairs = (self.slow, self.model.backbone), (self.slow_projector, self.projector)
        with torch.no_grad():
            for slow, trained in pairs:
                for old, new in zip(slow.parameters(), trained.parameters(), strict=True):
                    old.copy_(momentum * old + (1 - momentum) * new)
            key_features = self.slow(batch.second_images)
            key_projections = [unit(self.slow_projector(feature)) for feature in key_features]
        features, loss, one = self.model.backbone(batch.inputs), 0.0, torch.ones(1)
        samples = list(enumerate(batch.labels.tolist()))
        for place, label in samples:
            projection = unit(self.projector(features[place]))
            similar = [[projection @ key for key in keys] for keys in self.projections]
            own = projection @ key_projections[place]
            loss = loss + one_loss(own, similar, label, temperature)
        for place, label in samples:
            at = self.oldest[label]
            self.features[label][at] = unit(torch.cat([key_features[place], one]))
            self.projections[label][at] = key_projections[place]
            self.oldest[label] = (at + 1) % KEYS
        head = self.model.target_head
        for place, label in samples:
            weight = unit(torch.cat([head.weight[label], head.bias[label, None]])).detach()
            similar = [[weight @ key for key in keys] for keys in self.features]
            own = weight @ unit(torch.cat([features[place], one]))
            loss = loss + one_loss(own, similar, label, temperature)
        return trade_off * loss / len(samples)


def test_it_agrees_with_its_formulas_while_the_model_moves(model):
    part = bi_tuning(model, **SETTINGS)
    by_hand = ByHand(model, part.beside)
    settings = {name: SETTINGS[name] for name in ("trade_off", "momentum", "temperature")}
    trained = [*model.parameters(), *part.beside.projector.parameters()]
    for batch in batches():
        found = sum(part.terms(batch, model(batch.inputs)).values())
        expected = by_hand.loss(batch, **settings)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        for parameter, got, wanted in zip(
            trained,
            torch.autograd.grad(found, trained, allow_unused=True),
            torch.autograd.grad(expected, trained, allow_unused=True),
            strict=True,
        ):
            assert (got is None) == (wanted is None)
            if got is not None:
                torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
                parameter.data -= 0.2 * got
    found_queues = [list(queue) for queue in part.beside.features]
    torch.testing.assert_close(found_queues, by_hand.features)


def test_head_and_slow_copies_get_no_gradient_and_the_projector_does(model):
    part = bi_tuning(model, **SETTINGS)
    batch = next(batches())
    sum(part.terms(batch, model(batch.inputs)).values()).backward()
    assert all(parameter.grad is None for parameter in model.target_head.parameters())
    assert all(parameter.grad.any() for parameter in model.backbone[1].parameters())
    with_gradient = [
        name for name, value in part.beside.named_parameters() if value.grad is not None
    ]
    assert with_gradient == ["projector.weight", "projector.bias"]


def test_the_loss_is_the_divergence_from_uniform_positives_but_for_a_constant():
    generator = torch.Generator().manual_seed(2)
    own, labels = torch.rand(4, generator=generator), torch.tensor([0, 2, 1, 2])
    queued = 2 * torch.rand(4, CLASSES, KEYS, generator=generator) - 1
    positives_first, shares = [], torch.zeros(4, 1 + CLASSES * KEYS)
    for sample, label in enumerate(labels.tolist()):
        others = [queued[sample, other] for other in range(CLASSES) if other != label]
        positives_first.append(torch.cat([own[sample, None], queued[sample, label], *others]))
    shares[:, : KEYS + 1] = 1 / (KEYS + 1)
    logs = (torch.stack(positives_first) / 0.2).log_softmax(dim=1)
    divergence = F.kl_div(logs, shares, reduction="batchmean")
    found = categorical_contrastive_loss(own, queued, labels, 0.2)
    assert float(found) == pytest.approx(float(divergence) + math.log(KEYS + 1), rel=1e-5)


def test_it_leaves_the_models_own_pass_and_the_target_loss_alone(model):
    batch = next(batches())
    plain = copy.deepcopy(model)
    expected = compose()(plain, batch)["target_loss"]
    terms = compose(bi_tuning(model, **SETTINGS))(model, batch)
    assert list(terms) == ["target_loss", "contrastive_classifier", "contrastive_projector"]
    assert torch.equal(terms["target_loss"], expected)
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=0, atol=0)
