"""Bi-tuning: two contrastive losses, on the classifier and on a projection of the features."""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from .model import CoTuningModel, Outputs
from .objectives import Batch, Part


def categorical_contrastive_loss(
    own: Float[Tensor, " batch"],
    queued: Float[Tensor, "batch target key"],
    labels: Int[Tensor, " batch"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean of -log softmax(similarity / temperature) over positives and batch, in nats.

    The softmax of a sample runs over its own similarity and those to the queued keys of all
    classes; positive are its own and those of its class.

    Args:
        own: similarity to what the sample itself is to be like, in [-1, 1].
        queued: similarities to the keys of each class, in [-1, 1].
        labels: in [0, target).
        temperature: > 0.

    Source: Zhong et al., Bi-tuning of Pre-trained Representations, 2020 (arXiv 2011.06182), the
    categorical contrastive learning loss.
    """
    logits = torch.cat([own[:, None], queued.flatten(1)], dim=1) / temperature
    logs = logits.log_softmax(dim=1)
    of_class = logs[:, 1:].view_as(queued).take_along_dim(labels[:, None, None], dim=1)
    positive = torch.cat([logs[:, :1], of_class[:, 0]], dim=1)
    return -positive.mean()


class Keys(nn.Module):
    """What bi-tuning needs beside the model: a projector, a slow copy of both, queues of its keys.

    It draws from torch's global generator.

    Args:
        model: whose backbone is copied as it is now.
        projection_size: of the projector's output.
        queue_size: keys of each class; random directions at first.

    Attributes:
        projector: features to projections, trained.
        backbone, slow_projector: follow the trained ones in `follow` alone.
        features: queued, [target, key, feature + 1], unit vectors.
        projections: queued, [target, key, projection], unit vectors.
        place: [target], where in its queue the next key of a class goes.
    """

    features: Tensor
    projections: Tensor
    place: Tensor

    def __init__(self, model: CoTuningModel, projection_size: int, queue_size: int) -> None:
        super().__init__()
        classes, feature_size = model.target_head.weight.shape
        self.projector = nn.Linear(feature_size, projection_size)
        self.backbone = copy.deepcopy(model.backbone).requires_grad_(False)
        self.backbone.to(memory_format=torch.channels_last).train()
        self.slow_projector = copy.deepcopy(self.projector).requires_grad_(False)
        for name, size in (("features", feature_size + 1), ("projections", projection_size)):
            directions = torch.randn(classes, queue_size, size)
            self.register_buffer(name, F.normalize(directions, dim=2))
        self.register_buffer("place", torch.zeros(classes, dtype=torch.long))

    @torch.no_grad()
    def follow(self, backbone: nn.Module, momentum: float) -> None:
        """Move the slow copy: momentum times itself, 1 - momentum times the trained weights."""
        for slow, trained in ((self.backbone, backbone), (self.slow_projector, self.projector)):
            for kept, moved in zip(slow.parameters(), trained.parameters(), strict=True):
                kept.lerp_(moved, 1 - momentum)

    @torch.no_grad()
    def enqueue(
        self,
        features: Float[Tensor, "batch _"],
        projections: Float[Tensor, "batch _"],
        labels: Int[Tensor, " batch"],
    ) -> None:
        """Put keys in the places of the oldest ones of their classes, in the order of the batch."""
        length = self.features.shape[1]
        same = labels[:, None] == labels
        place = (self.place[labels] + same.tril(-1).sum(dim=1)) % length
        replaced_at_once = same.triu(1).sum(dim=1) >= length
        where = labels, place.masked_fill(replaced_at_once, length)
        # New tensors: the loss that was computed on the old ones needs them for its gradient.
        self.features = _with_keys(self.features, where, features)
        self.projections = _with_keys(self.projections, where, projections)
        self.place = self.place.index_add(0, labels, torch.ones_like(labels)) % length


def bi_tuning(
    model: CoTuningModel,
    trade_off: float,
    projection_size: int,
    queue_size: int,
    momentum: float,
    temperature: float,
) -> Part:
    """trade_off times the contrastive losses of classifier and projector, on two views a batch.

    Features, a 1 appended, are compared with the target head's weights and biases, projections
    with projections, all as unit vectors. The keys are the second view's, of the slow copy of
    backbone and projector.

    Source: Zhong et al., Bi-tuning of Pre-trained Representations, 2020 (arXiv 2011.06182), as in
    Transfer-Learning-Library (github.com/thuml/Transfer-Learning-Library): head and keys get no
    gradient of these losses, the classifier sees the queue with this batch's keys and the
    projector that without. That library's losses are these less the constant log(queue_size + 1).
    """
    keys = Keys(model, projection_size, queue_size).to(model.target_head.weight.device)

    def terms(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        assert batch.second_images is not None, "the part asks for a second view"
        keys.follow(model.backbone, momentum)
        with torch.no_grad():
            key_features = keys.backbone(batch.second_images).float()
        labels = batch.labels
        with torch.autocast(key_features.device.type, enabled=False):
            projections = F.normalize(keys.projector(outputs.features.float()), dim=1)
            key_projections = F.normalize(keys.slow_projector(key_features), dim=1)
            own = (projections * key_projections).sum(dim=1)
            queued = torch.einsum("np,ckp->nck", projections, keys.projections)
            by_projector = categorical_contrastive_loss(own, queued, labels, temperature)
            keys.enqueue(_with_one(key_features), key_projections, labels)
            head = model.target_head
            weights = torch.cat([head.weight, head.bias[:, None]], dim=1).detach()[labels]
            weights = F.normalize(weights, dim=1)
            own = (_with_one(outputs.features.float()) * weights).sum(dim=1)
            queued = torch.einsum("nf,ckf->nck", weights, keys.features)
            by_classifier = categorical_contrastive_loss(own, queued, labels, temperature)
        return {
            "contrastive_classifier": trade_off * by_classifier,
            "contrastive_projector": trade_off * by_projector,
        }

    return Part(terms, needs_second_view=True, needs_whole_batch=True, beside=keys)


def _with_keys(
    queues: Float[Tensor, "target key _"],
    where: tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]],
    keys: Float[Tensor, "batch _"],
) -> Float[Tensor, "target key _"]:
    """Queues with keys in places of theirs; what goes to the place behind the last one is dropped.

    So no number of keys depends on the labels, which a GPU would have to be waited for.
    """
    return F.pad(queues, (0, 0, 0, 1)).index_put(where, keys)[:, :-1].contiguous()


def _with_one(features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch longer"]:
    """Unit vectors of the features with a 1 appended, that a bias is compared with."""
    return F.normalize(F.pad(features, (0, 1), value=1.0), dim=1)
