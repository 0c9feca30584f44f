"""The relationship, as the stages learn it from the source model's logits."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.artifacts import SplitLogits
from pipeline.cotuning.folds import can_be_held_out
from pipeline.cotuning.knowledge import (
    RELEARNED_SAMPLES,
    Knowledge,
    Learner,
    choose_way,
    cross_validated_knowledge,
    direct_learner,
)
from pipeline.cotuning.relationship import Direction, Selection, fit_relationship
from pipeline.cotuning.reverse import ReverseClassifier, relearned


def source_predictions(
    splits: Mapping[str, SplitLogits], temperature: float
) -> tuple[Tensor, Tensor]:
    """Calibrated p(s | x) [image, source] and labels of the images of train and validation."""
    both = [splits[name] for name in ("train", "validation")]
    logits = torch.cat([split.logits for split in both])
    return F.softmax(logits.double() / temperature, dim=1), torch.cat([s.labels for s in both])


class Way(Protocol):
    """How R is learned.

    `auto` takes the way that knows most of held-out images. pseudo_samples are of direct,
    selection is of reverse.
    """

    @property
    def direction(self) -> Literal["auto", "direct", "reverse"]: ...

    @property
    def pseudo_samples(self) -> float: ...

    @property
    def selection(self) -> Selection: ...


@dataclass(frozen=True)
class Learned:
    """What was learned from the source logits of the target data.

    Attributes:
        relationship: R [target, source] in float64.
        classifier: g of the reverse way, whose accuracy is a diagnostic of every way.
        direction: the one that R was learned in.
        pseudo_samples: of the direct way.
        selection: how the classifier was chosen.
        learner: learns R in this way from other samples.
        knowledge: cross-validated, of an R learned in this way; None where no class has two
            images, and of the reverse way where there are so many images that it would be slow.
    """

    relationship: Tensor
    classifier: ReverseClassifier
    direction: Direction
    pseudo_samples: float
    selection: Selection
    learner: Learner
    knowledge: Knowledge | None


def learn_relationship(
    splits: Mapping[str, SplitLogits], classes: int, temperature: float, way: Way
) -> Learned:
    """Learn R from the source logits of the splits train and validation.

    Args:
        temperature: T > 0 of the source model.

    Raises:
        ValueError: as fit_relationship.
    """
    probabilities, labels = source_predictions(splits, temperature)
    direction, pseudo_samples, selection = way.direction, way.pseudo_samples, way.selection
    if direction == "auto":
        direction, pseudo_samples = choose_way(probabilities, labels, classes)
        selection = "cross-validated-likelihood" if direction == "reverse" else selection
    train, validation = splits["train"], splits["validation"]
    relationship, classifier = fit_relationship(
        train.logits,
        train.labels,
        validation.logits,
        validation.labels,
        classes,
        temperature,
        direction,
        pseudo_samples,
        selection,
    )
    learner: Learner = partial(relearned, classifier)
    if direction == "direct":
        learner = direct_learner(classes, pseudo_samples)
    knowledge = None
    if can_be_held_out(labels) and (direction == "direct" or len(labels) <= RELEARNED_SAMPLES):
        knowledge = cross_validated_knowledge(learner, probabilities, labels)
    return Learned(
        relationship, classifier, direction, pseudo_samples, selection, learner, knowledge
    )
