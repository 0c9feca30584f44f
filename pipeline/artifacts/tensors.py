"""Tensors among the artifacts: logits, relationships, weights."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.artifacts.contents import Relationship, SplitLogits

PARTS = ("logits", "labels", "rows")
SUMS_WITHIN = 1e-3  # of 1: rows of R in float32


def read_logits(path: Path, classes: int) -> dict[str, SplitLogits]:
    """Of each split; labels of target images are below `classes`.

    Raises:
        ValueError, KeyError: the file holds something else.
    """
    tensors = load_file(path)
    names = dict.fromkeys(name.partition(".")[0] for name in tensors)
    splits = {name: SplitLogits(*(tensors[f"{name}.{part}"] for part in PARTS)) for name in names}
    for needed in ("train", "validation"):
        if needed not in splits:
            raise ValueError(f"it has no {needed} split")
    source = splits["train"].logits.shape[-1]
    for name, split in splits.items():
        is_target = name != "source-validation"
        _check_split(name, split, source, classes if is_target else source)
    if missing := sorted(set(range(classes)) - set(splits["train"].labels.tolist())):
        raise ValueError(f"class {missing[0]} has no training image")
    return splits


def _check_split(name: str, split: SplitLogits, source: int, labels: int) -> None:
    logits, count = split.logits, len(split.logits)
    if logits.dtype != torch.float32 or logits.shape != (count, source) or not logits.numel():
        raise ValueError(f"{name}.logits is {tuple(logits.shape)} of {logits.dtype}")
    if not logits.isfinite().all():
        raise ValueError(f"{name}.logits has values that are not finite")
    for part, most in (("labels", labels), ("rows", None)):
        values = getattr(split, part)
        if values.dtype != torch.int64 or values.shape != (count,):
            raise ValueError(f"{name}.{part} is {tuple(values.shape)} of {values.dtype}")
        if values.min() < 0 or (most is not None and values.max() >= most):
            raise ValueError(f"{name}.{part} has {int(values.min())} to {int(values.max())}")
    if len(split.rows.unique()) < count:
        raise ValueError(f"{name}.rows has a row twice")


def check_same_images(splits: Mapping[str, SplitLogits], manifest: pd.DataFrame) -> None:
    """Whether logits are of the images and labels of a manifest.

    Raises:
        ValueError: they are of others.
    """
    for name in ("train", "validation"):
        samples, split = manifest[manifest["split"] == name], splits[name]
        for part, column in (("rows", "row"), ("labels", "label")):
            if getattr(split, part).tolist() != samples[column].tolist():
                raise ValueError(f"its {name} {part} are not those of the manifest")


def check_sources(found: int, categories: int | None) -> None:
    """Whether there are as many source categories as there should be, where that is known.

    Raises:
        ValueError: there are others.
    """
    if categories is not None and found != categories:
        raise ValueError(f"it is of {found} source categories, the source model has {categories}")


def read_relationship(path: Path, classes: int) -> Relationship:
    """R of so many target classes, with its temperature and source weight.

    Raises:
        ValueError, KeyError: the file holds something else.
    """
    tensors = load_file(path)
    numbers = [float(tensors[name]) for name in ("temperature", "source_weight")]
    if not all(0 < number < float("inf") for number in numbers):
        raise ValueError(f"temperature and source_weight are {numbers[0]:g} and {numbers[1]:g}")
    return Relationship(probabilities_in(tensors, classes).float(), *numbers)


def probabilities_in(tensors: Mapping[str, Tensor], classes: int) -> Tensor:
    """The tensor `relationship`, [target, source], every row of which sums to 1.

    Raises:
        ValueError, KeyError: there is no such tensor.
    """
    matrix = tensors["relationship"]
    if matrix.ndim != 2 or len(matrix) != classes or not matrix.is_floating_point():
        raise ValueError(
            f"relationship is {tuple(matrix.shape)} of {matrix.dtype}, of {classes} target classes"
        )
    if not (matrix.isfinite().all() and (matrix >= 0).all()):
        raise ValueError("relationship has values that are no probabilities")
    sums = matrix.double().sum(dim=1)
    if ((sums - 1).abs() > SUMS_WITHIN).any():
        row = int((sums - 1).abs().argmax())
        raise ValueError(f"row {row} of relationship sums to {float(sums[row]):g}, not to 1")
    return matrix


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict of finite numbers.

    Raises:
        ValueError: it holds others.
    """
    state = load_file(path)
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{name} has values that are not finite")
    return state
