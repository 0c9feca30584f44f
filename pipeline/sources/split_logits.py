"""From the source logits of all images to those of a sample's splits."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.artifacts import Prepared, SplitLogits


def split_logits(
    prepared: Prepared, logits: Tensor, names: Sequence[str]
) -> dict[str, SplitLogits]:
    """Source logits [images, source] by row of the images, split by split; no empty split."""
    splits = {}
    for name in names:
        images = prepared.split(name)
        if len(images):
            rows = torch.from_numpy(images.rows)
            splits[name] = SplitLogits(logits[rows], torch.from_numpy(images.labels), rows)
    return splits
