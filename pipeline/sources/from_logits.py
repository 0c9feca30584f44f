"""What the stages learn from the source model's logits: its temperature, and the relationship."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.artifacts import SplitLogits
from pipeline.cotuning.calibration import (
    TemperatureFit,
    fit_target_likelihood_temperature,
    fit_temperature,
)
from pipeline.cotuning.knowledge import PSEUDO_SAMPLES, Knowledge, choose_pseudo_samples
from pipeline.cotuning.relationship import Direction, ReverseClassifier, fit_relationship
from pipeline.params.sections import Calibrate


def find_temperature(
    section: Calibrate, splits: Mapping[str, SplitLogits], classes: int
) -> TemperatureFit:
    """The temperature by the method of the section; for `fixed` its likelihood is not judged."""
    if section.method == "fixed":
        return TemperatureFit(section.temperature, float("nan"), at_bound=False)
    if section.method == "source-validation":
        source = splits["source-validation"]
        return fit_temperature(source.logits, source.labels)
    train, validation = splits["train"], splits["validation"]
    return fit_target_likelihood_temperature(
        train.logits, train.labels, validation.logits, validation.labels, classes
    )


def source_marginal(splits: Mapping[str, SplitLogits], temperature: float) -> Tensor:
    """p(s) [source], the mean source prediction for the images of train and validation."""
    logits = torch.cat([splits[name].logits for name in ("train", "validation")])
    return F.softmax(logits.double() / temperature, dim=1).mean(dim=0)


class Way(Protocol):
    """How R is learned: direction is auto, direct or reverse; pseudo_samples are of direct."""

    @property
    def direction(self) -> Literal["auto", "direct", "reverse"]: ...

    @property
    def pseudo_samples(self) -> float: ...


@dataclass(frozen=True)
class Learned:
    """What was learned from the source logits of the target data.

    Attributes:
        relationship: R [target, source] in float64.
        classifier: g of the reverse way, whose accuracy is a diagnostic of every way.
        direction: the one that R was learned in.
        pseudo_samples: of the direct way.
        knowledge: cross-validated, of an R learned in this way; None for the reverse way, which
            is too slow to be learned again for each fold.
    """

    relationship: Tensor
    classifier: ReverseClassifier
    direction: Direction
    pseudo_samples: float
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
    train, validation = splits["train"], splits["validation"]
    direction: Direction = "reverse" if way.direction == "reverse" else "direct"
    candidates = PSEUDO_SAMPLES if way.direction == "auto" else (way.pseudo_samples,)
    pseudo_samples, knowledge = way.pseudo_samples, None
    if direction == "direct":
        probabilities = F.softmax(
            torch.cat([train.logits, validation.logits]).double() / temperature, dim=1
        )
        labels = torch.cat([train.labels, validation.labels])
        pseudo_samples, knowledge = choose_pseudo_samples(
            probabilities, labels, classes, candidates
        )
    relationship, classifier = fit_relationship(
        train.logits,
        train.labels,
        validation.logits,
        validation.labels,
        classes,
        temperature,
        direction,
        pseudo_samples,
    )
    return Learned(relationship, classifier, direction, pseudo_samples, knowledge)
