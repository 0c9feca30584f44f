"""The images that all cells of the claims table draw their samples from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.artifacts import Prepared, SplitLogits, Store
from pipeline.artifacts.tensors import check_sources, probabilities_in
from pipeline.common.errors import UserError, one_line
from pipeline.datasets.batches import ImageSet, evaluation_batches
from pipeline.datasets.listing import Listing
from pipeline.datasets.splits import build_manifest
from pipeline.params import Params
from pipeline.sources.models import load_source_model
from pipeline.sources.source_model import SourceModel
from pipeline.sources.split_logits import split_logits
from pipeline.training.compute import Compute
from pipeline.training.inference import predict


@dataclass(frozen=True)
class Pool:
    """What all cells draw from.

    Attributes:
        prepared: every image; train and validation together are what samples are drawn from.
        logits: source logits by row of the images, [rows, source].
        true_relationship: R [target, source] by which the images were made, where it is known.
    """

    prepared: Prepared
    logits: Tensor
    source: SourceModel
    true_relationship: Tensor | None = None

    def draw(self, images_per_class: int, val_fraction: float, seed: int) -> Prepared:
        """A sample with its own split into training and validation.

        Its test images are those of the pool; where that has none, all that were not drawn.

        Raises:
            UserError: the pool has fewer images of a class.
        """
        manifest, classes = self.prepared.manifest, self.prepared.classes
        manifest = manifest[manifest["split"].isin(["train", "validation", "test"])]
        test = manifest["split"] == "test"
        smallest = int(manifest.loc[~test, "label"].value_counts().min())
        if smallest < images_per_class:
            raise UserError(
                f"a sample of {images_per_class} images a class was asked for, the pool has "
                f"{smallest} of one; raise prepare_data.images_per_class or lower the rate"
            )
        samples = pd.DataFrame(
            {
                "split": test.map({True: "test", False: "train"}),
                "class_name": manifest["label"].map(dict(enumerate(classes))),
                "path": manifest["path"],
            }
        )
        drawn = build_manifest(
            Listing(samples, tuple(classes), _Unread()),
            images_per_class=images_per_class,
            val_fraction=val_fraction,
            test_fraction=val_fraction if test.any() else None,
            test_limit=None,
            seed=seed,
        )
        rows = dict(zip(manifest["path"], manifest["row"], strict=True))
        drawn["row"] = drawn["path"].map(rows)
        return Prepared(drawn, classes, [], self.prepared.images)

    def split_logits(self, sample: Prepared) -> dict[str, SplitLogits]:
        """The source logits of a sample's training and validation images."""
        return split_logits(sample, self.logits, ("train", "validation"))


class _Unread:
    """The images of a pool are decoded already."""

    def __call__(self, path: str) -> Any:
        raise NotImplementedError

    def locate(self, path: str) -> str:
        return path


def at_input_size(pool: Pool, input_size: int, batch_size: int, compute: Compute) -> Pool:
    """The same pool with a source model, and its logits, of crops of another size, in pixels."""
    rows = torch.nonzero(~pool.logits[:, 0].isnan())[:, 0].numpy()
    images = ImageSet(pool.prepared.images, rows, np.zeros_like(rows))
    source = replace(pool.source, input_size=input_size)
    network = source.network().to(compute.device)
    batches = evaluation_batches(images, source.preprocessing, batch_size, compute.device)
    logits = pool.logits.clone()
    logits[rows] = predict(network, batches, compute)[0]
    return replace(pool, logits=logits, source=source)


def rows_to_logits(splits: dict[str, SplitLogits], images: int) -> Tensor:
    """Logits of extract-logits by row of the images, [images, source]; NaN where there are none."""
    source = next(iter(splits.values())).logits.shape[1]
    logits = torch.full((images, source), float("nan"))
    for split in splits.values():
        logits[split.rows] = split.logits
    return logits


def pool_files(store: Store) -> list[Path]:
    """The artifacts that cells draw from."""
    return [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "images.npy"),
        store.require("extract-logits", "logits.safetensors"),
    ]


def load_pool(store: Store, params: Params) -> Pool:
    prepared = store.load_prepared()
    source = load_source_model(**params.source_model.model_dump())
    prepared.require_size(source.input_size)
    splits = store.load_logits(prepared, len(source.categories))
    logits = rows_to_logits(splits, len(prepared.images))
    path = params.fine_tune_cells.true_relationship
    shape = len(prepared.classes), logits.shape[1]
    truth = None if path is None else load_true_relationship(store.root / path, shape)
    return Pool(prepared, logits, source, truth)


def load_true_relationship(path: Path, shape: tuple[int, int]) -> Tensor:
    """R [target, source] in float64 from a safetensors file's tensor `relationship`.

    Raises:
        UserError: there is no such file, or the tensor has another shape.
    """
    if not path.is_file():
        raise UserError(f"fine_tune_cells.true_relationship: there is no file {path}")
    try:
        truth = probabilities_in(load_file(path), shape[0]).double()
        check_sources(truth.shape[1], shape[1])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(
            f"fine_tune_cells.true_relationship: {path} is no relationship ({one_line(error)}); "
            f"expected a tensor `relationship` of {shape}, target classes by source categories, "
            "whose rows sum to 1"
        ) from None
    return truth
