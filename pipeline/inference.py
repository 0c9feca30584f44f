"""predict(): a network's logits on every batch."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from pipeline.compute import Compute


@torch.inference_mode()
def predict(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    compute: Compute,
    on_batch: Callable[[int], None] = lambda images: None,
) -> tuple[Tensor, Tensor]:
    """Logits [N, classes] in float32 and labels [N] of every batch, on the CPU."""
    network.to(memory_format=torch.channels_last).eval()
    logits, labels = [], []
    for images, batch_labels in batches:
        with compute.autocast():
            output = network(images)
        logits.append(output.float().cpu())
        labels.append(batch_labels.cpu())
        on_batch(len(batch_labels))
    return torch.cat(logits), torch.cat(labels)
