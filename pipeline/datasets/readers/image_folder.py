"""Image files in a folder a class, with or without split folders above."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from pipeline.common.errors import UserError
from pipeline.datasets.listing import (
    IMAGE_SUFFIXES,
    ImageFolderReader,
    Listing,
    is_image_name,
    name_some,
)

SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
SPLIT_LIKE = {*SPLIT_FOLDERS, "training", "valid", "validation", "testing"}


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
        has_images = any(is_image_name(path.name) for path in (root / name).iterdir())
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


def _image_paths(class_folder: Path, root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(class_folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(folder).relative_to(root)
        for name in sorted(filter(is_image_name, files)):
            path = (relative / name).as_posix()
            if path.encode(errors="replace").decode() != path:
                raise UserError(f"{path!a} in {root} is not a name in UTF-8; rename it")
            yield path


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be listed: {error.strerror}; make it readable")
