"""Fashion-MNIST from its four idx files."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.common.errors import UserError, one_line
from pipeline.datasets.listing import ImageFolderReader, Listing, name_some
from pipeline.datasets.readers.downloads import explained_download
from pipeline.datasets.readers.published import Counts, check_count

PUBLISHED = Counts(classes=10, images={"train": 60_000, "test": 10_000})
FASHION_MNIST_FILES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}


@dataclass(frozen=True)
class FashionMnistReader(ImageFolderReader):
    """Opens images of Fashion-MNIST by <file>#<index>; reads each file once a process."""

    def __call__(self, path: str) -> Image.Image:
        file, _, index = path.rpartition("#")
        image, _ = _fashion_mnist(self.root, "/train-" in file)[int(index)]
        return image


def list_fashion_mnist(root: Path, counts: Counts = PUBLISHED) -> Listing:
    """Fashion-MNIST with its published training and test split, downloaded where it is absent.

    Args:
        root: the idx files lie, or will lie, in <root>/FashionMNIST/raw.
        counts: what is expected.

    Raises:
        UserError: the files are absent and cannot be downloaded, or are damaged, or have another
            number of images.
    """
    parts = []
    for split, file in FASHION_MNIST_FILES.items():
        dataset = _fashion_mnist(root, split == "train")
        labels = dataset.targets.numpy()
        path = root / "FashionMNIST" / "raw" / file
        check_count(path, "images", counts.images.get(split), len(labels))
        names = np.array(dataset.classes)[labels]
        paths = [f"FashionMNIST/raw/{file}#{index}" for index in range(len(labels))]
        parts.append(pd.DataFrame({"split": split, "class_name": names, "path": paths}))
    samples = pd.concat(parts, ignore_index=True)
    return Listing(samples, tuple(dataset.classes), FashionMnistReader(root))


@functools.lru_cache(maxsize=2)
def _fashion_mnist(root: Path, train: bool) -> Any:
    # Worker processes that open image files never need torch, which takes seconds to import.
    from torchvision.datasets import FashionMNIST

    folder = root / "FashionMNIST" / "raw"
    names = [Path(url).stem for url, _ in FashionMNIST.resources]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        lacking = f"{folder} lacks {name_some(missing)}"
        with explained_download(
            lacking, "run `make fashion-mnist`, or put the files there, unpacked"
        ):
            FashionMNIST(root, download=True)
    try:
        dataset = FashionMNIST(root, train=train)
        if len(dataset.data) != len(dataset.targets):
            raise ValueError(f"{len(dataset.data)} images, {len(dataset.targets)} labels")
    except (AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        part = folder / ("train-*" if train else "t10k-*")
        message = f"{part} is damaged ({one_line(error)}); delete it and run `make fashion-mnist`"
        raise UserError(message) from None
    return dataset
