"""The parts that every training stage puts together in the same way."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pipeline.artifacts import Prepared, SplitLogits
from pipeline.common.errors import UserError
from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Objective, Part, co_tuning, compose, image_labels
from pipeline.cotuning.posterior import posterior_labels
from pipeline.cotuning.regularizers import PEERS
from pipeline.params.methods import (
    BASELINE,
    CO_TUNING,
    LINEAR_PROBE,
    LP_FT,
    POSTERIOR,
    SOURCE_PARTS,
    Peers,
)
from pipeline.params.sections import Training
from pipeline.sources.from_logits import source_predictions
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import Compute
from pipeline.training.data import Data
from pipeline.training.distributed import ALONE, Processes
from pipeline.training.fit import FitResult, fit
from pipeline.training.probe import fit_probe, start_from_probe

# What the weights of a trained network come from, as patterns below pipeline/. A change elsewhere
# (readers, report, tracking) leaves checkpoints, finished trials and finished cells alone.
TRAINING_CODE = ("cotuning/*.py", "datasets/batches.py", "sources/*.py", "training/*.py")


def new_model(source: SourceModel, target_classes: int, seed: int) -> CoTuningModel:
    """A model ready to fine-tune: copies of the source model's parts and a new, seeded head."""
    torch.manual_seed(seed)
    return CoTuningModel(
        copy.deepcopy(source.backbone),
        copy.deepcopy(source.head),
        source.feature_size,
        target_classes,
    )


def training_data(prepared: Prepared, source: SourceModel) -> Data:
    """Training and validation split, as the source model wants its images."""
    return Data(prepared.split("train"), prepared.split("validation"), source.preprocessing)


@dataclass(frozen=True)
class SourceLabels:
    """What the source head can be taught by.

    Attributes:
        relationship: R [target, source], on the device of the training.
        splits: source logits of train and validation.
        temperature: T > 0 of the source model.
    """

    relationship: Tensor
    splits: Mapping[str, SplitLogits]
    temperature: float

    def part(self, name: str, source_weight: float) -> Part:
        """The part co-tuning, lwf or posterior-co-tuning of a method."""
        if name == CO_TUNING:
            return co_tuning(self.relationship.float(), source_weight)
        train, device = self.splits["train"], self.relationship.device
        predictions, _ = source_predictions(self.splits, self.temperature)
        labels = predictions[: len(train.labels)]
        if name == POSTERIOR:
            marginal = predictions.mean(dim=0)
            labels = posterior_labels(labels, train.labels, self.relationship.cpu(), marginal)
        return image_labels(labels.float().to(device), train.rows.to(device), source_weight)


def compose_method(
    name: str,
    model: CoTuningModel,
    training: Training,
    peers: Peers,
    labels: SourceLabels,
    source_weight: float,
    processes: Processes = ALONE,
) -> tuple[Objective, Training]:
    """The objective of a method, and the training with the weight decay that the method wants.

    Args:
        name: vanilla, or parts joined by `+`, such as co-tuning+bss; of lp-ft all but the start.
        model: with the source model's weights, on the device that it will be trained on; a part
            may keep a copy of it and change how it normalises. Where no part uses the source head,
            it gets no gradients.
        labels: of the source head.
        source_weight: lambda >= 0; this and the labels are of the parts that use the source head.
        processes: that will train the model.

    Raises:
        UserError: a part cannot work on this network, or in several processes.
    """
    parts: dict[str, Part] = {}
    for part in name.split("+"):
        if part in SOURCE_PARTS:
            parts[part] = labels.part(part, source_weight)
        elif part == LP_FT:
            parts[part] = Part(keeps_statistics=True)
        elif part != BASELINE:
            strengths = getattr(peers, part.replace("-", "_")).model_dump()
            try:
                parts[part] = PEERS[part](model, **strengths)
            except ValueError as error:
                raise UserError(f"{part} does not fit the source model: {error}") from None
    for part, made in parts.items():
        if made.needs_whole_batch and processes.count > 1:
            raise UserError(
                f"{part} needs whole batches, which {processes.count} processes do not see; "
                f"fine-tune by {name} without torchrun"
            )
    if any(part.replaces_weight_decay for part in parts.values()):
        training = training.model_copy(update={"weight_decay": 0.0})
    model.source_head.requires_grad_(any(part.uses_source_head for part in parts.values()))
    return compose(*parts.values()), training


@dataclass(frozen=True)
class Start:
    """A method that is ready to train.

    Attributes:
        model: on the device of the training.
        training: with the weight decay that the method wants.
        images_passed: how many images the whole training passes.
        train: fit(), but for its callbacks and its checkpoint; trains the model in place.
    """

    model: CoTuningModel
    training: Training
    images_passed: int
    train: Callable[..., FitResult]


def start_method(
    name: str,
    source: SourceModel,
    target_classes: int,
    data: Data,
    training: Training,
    peers: Peers,
    labels: SourceLabels,
    source_weight: float,
    compute: Compute,
    seed: int,
    processes: Processes = ALONE,
) -> Start:
    """A method with its new model, as every stage trains it.

    The linear probe learns the target head alone. With lp-ft the head starts as that probe, then
    all is trained by the protocol, but batch normalisation goes on by the source model's
    statistics: the probe is of features that these made, and is of no use on others.
    target_head_factor is that of every method; lp-ft's authors have one rate for all, which is the
    factor 1.

    Args:
        seed: of the new head, of what a part draws, and of the batches.

    Raises:
        UserError: as compose_method and start_from_probe.

    Source: Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution, ICLR 2022; statistics kept as by the README of
    github.com/AnanyaKumar/transfer_learning, experiment lp_then_ft_valmode.
    """
    model = new_model(source, target_classes, seed).to(compute.device)
    if name == LINEAR_PROBE:
        passed = len(data.train) + len(data.validation)
        return Start(model, training, passed, partial(fit_probe, model, data, compute))
    if LP_FT in name.split("+"):
        start_from_probe(model, data, compute)
    objective, training = compose_method(
        name, model, training, peers, labels, source_weight, processes
    )
    train = partial(fit, model, objective, data, training, compute, seed, processes=processes)
    return Start(model, training, data.images_passed(training), train)
