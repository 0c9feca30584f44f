"""A network's logits on every batch, or on several crops of every image."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.datasets.batches import (
    ImageSet,
    Preprocessing,
    evaluation_batches,
    stored_batches,
)
from pipeline.training.compute import Compute
from pipeline.training.distributed import ALONE, Processes

EVALUATION_BATCH = 256


@torch.inference_mode()
def predict(
    network: nn.Module,
    batches: Iterable[tuple[Any, Tensor]],
    compute: Compute,
    on_batch: Callable[[int], None] = lambda images: None,
) -> tuple[Tensor, Tensor]:
    """Logits [N, classes] in float32 and labels [N] of every batch, on the CPU.

    Args:
        batches: of images, or what else the network takes, and their labels.
    """
    network.to(memory_format=torch.channels_last).eval()
    logits, labels = [], []
    for images, batch_labels in batches:
        logits.append(_forward(network, images, compute).cpu())
        labels.append(batch_labels.cpu())
        on_batch(len(batch_labels))
    return torch.cat(logits), torch.cat(labels)


@torch.inference_mode()
def predict_crops(
    network: nn.Module,
    images: ImageSet,
    preprocessing: Preprocessing,
    crops: int,
    batch_size: int,
    compute: Compute,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Tensor:
    """Logits [N, classes] in float32 of every image, summed over its crops, on the CPU.

    The crops of a batch enter the network one after the other, so that ten take no more memory
    than one.

    Args:
        crops: 1, the centre, or 10, the corners and the centre, each also mirrored.
    """
    network.to(memory_format=torch.channels_last).eval()
    logits = []
    for pixels, labels in stored_batches(images, batch_size, compute.device):
        views = preprocessing.crops(pixels, crops)
        summed = _forward(network, next(views), compute)
        for view in views:
            summed += _forward(network, view, compute)
        logits.append(summed.cpu())
        on_batch(len(labels))
    return torch.cat(logits)


def validate(
    network: nn.Module,
    images: ImageSet,
    preprocessing: Preprocessing,
    compute: Compute,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """validation_nll (mean, nats) and validation_accuracy of a network on the centre crops.

    Every process passes its part of the images and gets the result of all.
    """
    part = images.part(processes.share(len(images)))
    batches = evaluation_batches(part, preprocessing, EVALUATION_BATCH, compute.device)
    logits, labels = map(processes.gather, predict(network, batches, compute))
    return {
        "validation_nll": float(F.cross_entropy(logits, labels)),
        "validation_accuracy": float((logits.argmax(dim=1) == labels).float().mean()),
    }


def _forward(network: nn.Module, images: Any, compute: Compute) -> Tensor:
    with compute.autocast():
        output: Tensor = network(images)
    return output.float()
