"""Where images come from: every sample of a source with its class, and how to open it."""

import functools
import http.client
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.errors import UserError

SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
SPLIT_LIKE = {*SPLIT_FOLDERS, "training", "valid", "validation", "testing"}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")
# Pillow goes by content, not by suffix: left to itself it would run Ghostscript on a renamed EPS.
IMAGE_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
FASHION_MNIST_FILES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}


class Read(Protocol):
    """Opens one sample by its path in the listing; can be pickled."""

    def __call__(self, path: str) -> Image.Image: ...

    def locate(self, path: str) -> str:
        """The full path, for messages."""


@dataclass(frozen=True)
class Listing:
    """All samples of a source.

    Attributes:
        samples: columns split (train, validation, test, or empty where the source publishes no
            split), class_name and path, what `read` opens it by.
        classes: names of the classes, in label order.
        read: opens a sample.
    """

    samples: pd.DataFrame
    classes: tuple[str, ...]
    read: Read


@dataclass(frozen=True)
class ImageFolderReader:
    """Opens image files, undecoded, by their path below a folder."""

    root: Path

    def __call__(self, path: str) -> Image.Image:
        return Image.open(self.root / path, formats=IMAGE_FORMATS)

    def locate(self, path: str) -> str:
        return str(self.root / path)


@dataclass(frozen=True)
class FashionMnistReader(ImageFolderReader):
    """Opens images of Fashion-MNIST by <file>#<index>; reads each file once a process."""

    def __call__(self, path: str) -> Image.Image:
        file, _, index = path.rpartition("#")
        image, _ = _fashion_mnist(self.root, "/train-" in file)[int(index)]
        return image


def list_source(source: str, root: Path) -> Listing:
    """List the source that prepare_data.source names; raises as the source's own function does."""
    return {"fashion-mnist": list_fashion_mnist, "image-folder": list_image_folder}[source](root)


def list_fashion_mnist(root: Path) -> Listing:
    """Fashion-MNIST with its published training and test split, downloaded where it is absent.

    Args:
        root: the idx files lie, or will lie, in <root>/FashionMNIST/raw.

    Raises:
        UserError: the files are absent and cannot be downloaded, or are damaged.
    """
    parts = []
    for split, file in FASHION_MNIST_FILES.items():
        dataset = _fashion_mnist(root, split == "train")
        labels = dataset.targets.numpy()
        names = np.array(dataset.classes)[labels]
        paths = [f"FashionMNIST/raw/{file}#{index}" for index in range(len(labels))]
        parts.append(pd.DataFrame({"split": split, "class_name": names, "path": paths}))
    samples = pd.concat(parts, ignore_index=True)
    return Listing(samples, tuple(dataset.classes), FashionMnistReader(root))


def list_image_folder(root: Path, parameter: str = "prepare_data.root") -> Listing:
    """Image files in <root>/<class>/ or in <root>/{train,val,test}/<class>/, at any depth.

    Without val/ or test/ that split is not published. Hidden files and folders, and files beside
    class folders, are ignored. Classes and samples are sorted by name.

    Args:
        root: the folder; sample paths are relative to it, with forward slashes.
        parameter: which entry of params.yaml errors tell the user to correct.

    Raises:
        UserError: the folder is missing or has another layout, has fewer than two classes or a
            class without images, or val/ or test/ has a class that train/ lacks.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder; put class folders there, or correct {parameter}")
    splits = {split: _class_paths(folder, root) for split, folder in _split_folders(root).items()}
    training = next(iter(splits.values()))
    if len(training) < 2:
        raise UserError(
            f"{root} has one class only, {next(iter(training))}; expected two or more; "
            f"add a class folder, or correct {parameter}"
        )
    for folder, split in SPLIT_FOLDERS.items():
        unknown = [name for name in splits.get(split, {}) if name not in training]
        if unknown:
            raise UserError(
                f"{root / folder} has classes that train/ lacks: {name_some(unknown)}; "
                f"add them to train/ or delete them from {folder}/"
            )
    rows = [
        (split, class_name, path)
        for split, classes in splits.items()
        for class_name, paths in classes.items()
        for path in paths
    ]
    samples = pd.DataFrame(rows, columns=["split", "class_name", "path"])
    return Listing(samples, tuple(training), ImageFolderReader(root))


def name_some(names: Sequence[str], limit: int = 5) -> str:
    """The first few names, for a message.

    >>> name_some(["cat", "dog", "emu"], limit=2)
    'cat, dog and 1 more'
    """
    further = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {further} more" if further > 0 else "")


def one_line(error: Exception) -> str:
    """What an exception says, for a message."""
    return " ".join(str(error).split()) or type(error).__name__


def _split_folders(root: Path) -> dict[str, Path]:
    names = [folder.name for folder in _visible_folders(root)]
    if not SPLIT_FOLDERS.keys() >= set(names) > set():
        _check_classes_are_no_splits(root, names)
        return {"": root}
    if "train" not in names:
        raise UserError(
            f"{root} has {' and '.join(names)} but no train; "
            "add train/<class>/<images>, or leave the split folders out"
        )
    return {SPLIT_FOLDERS[name]: root / name for name in SPLIT_FOLDERS if name in names}


def _check_classes_are_no_splits(root: Path, names: Sequence[str]) -> None:
    for name in names:
        has_images = any(_is_image(path.name) for path in (root / name).iterdir())
        if name.lower() in SPLIT_LIKE and _visible_folders(root / name) and not has_images:
            raise UserError(
                f"{root / name} holds folders only, as a split does; expected class folders "
                f"alone, or splits named train, val and test alone, but got {name_some(names)}; "
                "rename or move what does not belong"
            )


def _class_paths(folder: Path, root: Path) -> dict[str, list[str]]:
    folders = _visible_folders(folder)
    paths = {path.name: list(_image_paths(path, root)) for path in folders}
    if not paths:
        raise UserError(
            f"{folder} has no class folder; expected <class>/<images> in it, or train/, val/ "
            "and test/ with such; move the images of each class into a folder of its name"
        )
    empty = [name for name, found in paths.items() if not found]
    if empty:
        raise UserError(
            f"{folder} has class folders without images: {name_some(empty)}; add images "
            f"({' '.join(IMAGE_SUFFIXES)}) or delete them"
        )
    return paths


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _is_image(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _image_paths(class_folder: Path, root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(class_folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(folder).relative_to(root)
        for name in sorted(filter(_is_image, files)):
            path = (relative / name).as_posix()
            if path.encode(errors="replace").decode() != path:
                raise UserError(f"{path!a} in {root} is not a name in UTF-8; rename it")
            yield path


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be listed: {error.strerror}; make it readable")


@functools.lru_cache(maxsize=2)
def _fashion_mnist(root: Path, train: bool) -> Any:
    # Worker processes that open image files never need torch, which takes seconds to import.
    from torchvision.datasets import FashionMNIST

    folder = root / "FashionMNIST" / "raw"
    names = [Path(url).stem for url, _ in FashionMNIST.resources]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        seconds = socket.getdefaulttimeout()
        socket.setdefaulttimeout(30.0)
        try:
            FashionMNIST(root, download=True)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise UserError(
                f"{folder} lacks {name_some(missing)}, and the download failed "
                f"({one_line(error)}); run `make data`, or put the files there, unpacked"
            ) from None
        finally:
            socket.setdefaulttimeout(seconds)
    try:
        dataset = FashionMNIST(root, train=train)
        if len(dataset.data) != len(dataset.targets):
            raise ValueError(f"{len(dataset.data)} images, {len(dataset.targets)} labels")
    except (AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        part = folder / ("train-*" if train else "t10k-*")
        message = f"{part} is damaged ({one_line(error)}); delete it and run `make data`"
        raise UserError(message) from None
    return dataset
