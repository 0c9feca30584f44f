"""Data sets that torchvision downloads and reads, by the names of its classes."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.common.errors import UserError, one_line
from pipeline.datasets.listing import ImageFolderReader, Listing, name_some
from pipeline.datasets.readers.downloads import explained_download
from pipeline.datasets.readers.fgvc_aircraft import ARCHIVE_FOLDER, list_fgvc_aircraft
from pipeline.datasets.readers.published import (
    ADVICE,
    Counts,
    build_listing,
    check_count,
    check_images_exist,
)

Splits = Mapping[str, Mapping[str, Any]]

NO_SPLIT: Splits = {"": {}}
TRAIN_TEST: Splits = {"train": {"split": "train"}, "test": {"split": "test"}}
TRAINVAL_TEST: Splits = {"train": {"split": "trainval"}, "test": {"split": "test"}}
TRAIN_VAL_TEST: Splits = {**TRAIN_TEST, "validation": {"split": "val"}}
ARRAYS: Splits = {"train": {"train": True}, "test": {"train": False}}


@dataclass(frozen=True)
class TorchvisionSet:
    """How a class of torchvision is asked for its splits, and what it should find.

    Attributes:
        folder: below root, where torchvision looks.
        contents: of the folder, for who has to fill it by hand.
        splits: arguments of the class by split, as in `Listing`.
        counts: as published.
    """

    folder: str
    contents: str
    splits: Splits
    counts: Counts


SETS = {
    "Flowers102": TorchvisionSet(
        "flowers-102",
        "jpg/ from 102flowers.tgz, imagelabels.mat and setid.mat",
        TRAIN_VAL_TEST,
        Counts(102, {"train": 1020, "validation": 1020, "test": 6149}),
    ),
    "OxfordIIITPet": TorchvisionSet(
        "oxford-iiit-pet",
        "images/ from images.tar.gz and annotations/ from annotations.tar.gz",
        TRAINVAL_TEST,
        Counts(37, {"train": 3680, "test": 3669}),
    ),
    "DTD": TorchvisionSet(
        "dtd",
        "dtd/ from dtd-r1.0.1.tar.gz, with images/ and labels/ in it",
        TRAIN_VAL_TEST,
        Counts(47, {"train": 1880, "validation": 1880, "test": 1880}),
    ),
    "Food101": TorchvisionSet(
        "food-101",
        "images/ and meta/ from food-101.tar.gz",
        TRAIN_TEST,
        Counts(101, {"train": 75_750, "test": 25_250}),
    ),
    "EuroSAT": TorchvisionSet(
        "eurosat", "2750/ from EuroSAT.zip", NO_SPLIT, Counts(10, {"": 27_000})
    ),
    "CIFAR10": TorchvisionSet(
        "cifar-10-batches-py",
        "the files of cifar-10-python.tar.gz, unaltered",
        ARRAYS,
        Counts(10, {"train": 50_000, "test": 10_000}),
    ),
    "CIFAR100": TorchvisionSet(
        "cifar-100-python",
        "the files of cifar-100-python.tar.gz, unaltered",
        ARRAYS,
        Counts(100, {"train": 50_000, "test": 10_000}),
    ),
    "SUN397": TorchvisionSet(
        "SUN397",
        "ClassName.txt and the folders a/ to z/ from SUN397.tar.gz",
        NO_SPLIT,
        Counts(397, {"": 108_754}),
    ),
    "Caltech101": TorchvisionSet(
        "caltech101",
        "101_ObjectCategories/ from caltech-101.zip, BACKGROUND_Google included",
        NO_SPLIT,
        Counts(101, {"": 8677}),
    ),
}


@dataclass(frozen=True)
class ArrayReader(ImageFolderReader):
    """Opens images of a class that keeps them in memory, by <folder>/<split>#<index>."""

    name: str

    def __call__(self, path: str) -> Image.Image:
        split, _, index = path.rpartition("/")[2].partition("#")
        image, _ = _open(self.name, self.root, split)[int(index)]
        return image


def list_fgvc_aircraft_by_torchvision(root: Path, counts: Counts) -> Listing:
    """As `list_fgvc_aircraft`, downloaded where root has none of it.

    Raises:
        UserError: as that function; or the download failed.
    """
    if not any((root / name).exists() for name in (ARCHIVE_FOLDER, "data")):
        contents = "data/ from fgvc-aircraft-2013b.tar.gz"
        _download("FGVCAircraft", root, root / ARCHIVE_FOLDER, contents, {})
    return list_fgvc_aircraft(root, counts)


def list_torchvision_set(name: str, root: Path, counts: Counts) -> Listing:
    """A data set in the layout that torchvision has it in, downloaded where root has none of it.

    Args:
        name: of the class in torchvision.datasets.
        root: what torchvision calls so: the folder with the data set's own folder.
        counts: what is expected.

    Raises:
        UserError: the data set is absent and cannot be downloaded, is damaged or incomplete, or
            counts differ from what is expected.
    """
    known = SETS[name]
    folder = root / known.folder
    rows: list[tuple[str, str, str]] = []
    classes: list[str] = []
    for split in known.splits:
        dataset = _open(name, root, split)
        names = list(dataset.categories if name == "Caltech101" else dataset.classes)
        images = _images(name, dataset, split, root)
        odd = [path for path, label in images if not 0 <= label < len(names)]
        if odd:
            raise UserError(
                f"{folder}: expected labels of {len(names)} classes, found others for "
                f"{name_some(odd)}; {ADVICE}"
            )
        of_split = f"images{f' for {split}' if split else ''}"
        check_count(folder, of_split, counts.images.get(split), len(images))
        if known.splits is not ARRAYS:
            check_images_exist(root, [path for path, _ in images], f"{name} {split}".strip())
        rows += [(split, names[label], path) for path, label in images]
        classes += [found for found in names if found not in classes]
    with_images = {class_name for _, class_name, _ in rows}
    classes = [class_name for class_name in classes if class_name in with_images]
    check_count(folder, "classes with images", counts.classes, len(classes))
    reader = ArrayReader(root, name) if known.splits is ARRAYS else ImageFolderReader(root)
    return build_listing(rows, classes, reader, folder)


def _images(name: str, dataset: Any, split: str, root: Path) -> list[tuple[str, int]]:
    """Path and label of each image, none of them opened."""
    if name in ("CIFAR10", "CIFAR100"):
        folder = SETS[name].folder
        return [(f"{folder}/{split}#{index}", label) for index, label in enumerate(dataset.targets)]
    if name == "Caltech101":
        top = Path(dataset.root) / "101_ObjectCategories"
        images = [
            (top / dataset.categories[label] / f"image_{index:04d}.jpg", label)
            for index, label in zip(dataset.index, dataset.y, strict=True)
        ]
    elif name == "OxfordIIITPet":
        images = list(zip(dataset._images, dataset._labels, strict=True))
    else:
        images = [dataset[index] for index in range(len(dataset))]
    return [(Path(path).relative_to(root).as_posix(), label) for path, label in images]


@functools.lru_cache(maxsize=3)
def _open(name: str, root: Path, split: str) -> Any:
    known = SETS[name]
    folder = root / known.folder
    arguments = dict(known.splits[split])
    if not (folder.is_dir() and any(folder.iterdir())):
        _download(name, root, folder, known.contents, arguments)
    if known.splits is not ARRAYS and name not in ("Caltech101", "OxfordIIITPet"):
        # A loader that opens nothing: listing must not decode every image.
        arguments["loader"] = str
    try:
        return _constructor(name)(root, **arguments)
    # Each class fails in its own ways on files that are damaged or missing.
    except Exception as error:
        raise UserError(
            f"{folder} is not as published ({one_line(error)}); expected {known.contents}; "
            "complete it, or delete it to have it downloaded again"
        ) from None


def _download(
    name: str, root: Path, folder: Path, contents: str, arguments: Mapping[str, Any]
) -> None:
    with explained_download(f"{folder} is not there", f"put {contents} there"):
        _constructor(name)(root, download=True, **arguments)


def _constructor(name: str) -> Any:
    # Worker processes that open image files never need torch, which takes seconds to import.
    from torchvision import datasets

    return getattr(datasets, name)
