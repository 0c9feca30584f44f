"""The target head as a logistic regression on the features of the source model."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.common.errors import UserError
from pipeline.cotuning.linear_probe import fit_linear_probe
from pipeline.cotuning.model import CoTuningModel
from pipeline.datasets.batches import ImageSet, evaluation_batches
from pipeline.training.compute import Compute
from pipeline.training.data import Data
from pipeline.training.fit import FitResult, Record, state_on_cpu
from pipeline.training.inference import EVALUATION_BATCH, predict, validate


def frozen_features(
    backbone: nn.Module,
    images: ImageSet,
    data: Data,
    compute: Compute,
    on_batch: Callable[[int], None] = lambda images: None,
) -> tuple[Tensor, Tensor]:
    """Features [N, feature] of the centre crops, in evaluation mode, and labels [N].

    Args:
        backbone: on the device of compute.
        data: says how images enter.
    """
    batches = evaluation_batches(images, data.preprocessing, EVALUATION_BATCH, compute.device)
    return predict(backbone, batches, compute, on_batch)


def start_from_probe(
    model: CoTuningModel,
    data: Data,
    compute: Compute,
    on_batch: Callable[[int], None] = lambda images: None,
) -> None:
    """Make the linear probe of the backbone as it is now the target head.

    Its features are those of the centre crops, in evaluation mode.

    Raises:
        UserError: a class has no training image, or there are no validation images.
    """
    data.require_enough()
    # Here, not in predict(): weights that are moved in inference mode could not be trained.
    model.to(memory_format=torch.channels_last)
    (features, labels), held_out = (
        frozen_features(model.backbone, images, data, compute, on_batch)
        for images in (data.train, data.validation)
    )
    try:
        probe = fit_linear_probe(features, labels, *held_out, model.target_head.out_features)
    except ValueError as error:
        raise UserError(f"no linear probe can be fitted: {error}; add images") from None
    model.target_head.load_state_dict({"weight": probe.weight, "bias": probe.bias})


def fit_probe(
    model: CoTuningModel,
    data: Data,
    compute: Compute,
    on_epoch: Callable[[Record], None] = lambda record: None,
    on_batch: Callable[[int], None] = lambda images: None,
    checkpoint: Path | None = None,
) -> FitResult:
    """What fit() gives, for a model of which the target head alone is learned, as linear probe.

    Args:
        checkpoint: left alone; there is no training that could be gone on with.

    Returns:
        A history of one record, without terms of a loss and with a learning_rate of 0.

    Raises:
        UserError: as start_from_probe.

    Source: Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution, ICLR 2022.
    """
    start_from_probe(model, data, compute, on_batch)
    found = validate(model.deploy(), data.validation, data.preprocessing, compute)
    record: Record = {"epoch": 1, "learning_rate": 0.0} | found
    on_epoch(record)
    return FitResult([record], 1, state_on_cpu(model))
