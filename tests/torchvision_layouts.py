"""Miniatures of the data sets that torchvision reads, below the root that it is given.

Each function fills a folder; every data set has images of three classes or of the first three.
"""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from layouts import COLOURS, MODES, draw, write_lines
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, Flowers102

PETS = ("Abyssinian", "american_bulldog", "Egyptian_Mau")
TEXTURES = ("banded", "cracked", "dotted")
MEALS = ("apple_pie", "hot_dog", "tacos")
LAND = ("AnnualCrop", "Forest", "SeaLake")
SCENES = ("a/abbey", "a/apartment_building/outdoor", "z/zoo")
OBJECTS = ("Faces", "airplanes", "yin_yang")
ANIMALS = ("cat", "dog", "frog")


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def flowers(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Image ids and classes from 1; torchvision compares the lists with the published MD5s."""
    top = root / "flowers-102"
    labels = np.arange(27) % 3 + 1
    for index, label in enumerate(labels):
        draw(top / "jpg" / f"image_{index + 1:05d}.jpg", label - 1, MODES.get(index, "RGB"))
    savemat(top / "imagelabels.mat", {"labels": labels[None]})
    ids = np.arange(1, 28)[None]
    savemat(top / "setid.mat", {"trnid": ids[:, :12], "valid": ids[:, 12:18], "tstid": ids[:, 18:]})
    for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat")):
        patch.setitem(Flowers102._file_dict, key, (name, md5(top / name)))


def pets(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Lines of an image, its class from 1, its species and its breed in the species."""
    top = root / "oxford-iiit-pet"
    for split, numbers in (("trainval", range(1, 7)), ("test", range(7, 10))):
        lines = []
        for label, name in enumerate(PETS):
            for number in numbers:
                draw(top / "images" / f"{name}_{number}.jpg", label, MODES.get(number, "RGB"))
                lines.append(f"{name}_{number} {label + 1} 1 1")
        write_lines(top / "annotations" / f"{split}.txt", lines)


def textures(root: Path, patch: pytest.MonkeyPatch) -> None:
    top = root / "dtd" / "dtd"
    for split, numbers in (("train", range(4)), ("val", range(4, 6)), ("test", range(6, 9))):
        paths = [f"{name}/{name}_{number:04d}.jpg" for name in TEXTURES for number in numbers]
        for path in paths:
            draw(top / "images" / path, TEXTURES.index(path.partition("/")[0]))
        write_lines(top / "labels" / f"{split}1.txt", paths)


def meals(root: Path, patch: pytest.MonkeyPatch) -> None:
    top = root / "food-101"
    (top / "meta").mkdir(parents=True)
    for split, numbers in (("train", range(6)), ("test", range(6, 9))):
        images = {name: [f"{name}/{number}" for number in numbers] for name in MEALS}
        for label, paths in enumerate(images.values()):
            for path in paths:
                draw(top / "images" / f"{path}.jpg", label)
        (top / "meta" / f"{split}.json").write_text(json.dumps(images))


def land(root: Path, patch: pytest.MonkeyPatch) -> None:
    for label, name in enumerate(LAND):
        for number in range(1, 10):
            draw(root / "eurosat/2750" / name / f"{name}_{number}.jpg", label)


def arrays(root: Path, patch: pytest.MonkeyPatch, kind: type[CIFAR10]) -> None:
    """Pickled batches; torchvision compares each with its published MD5 before it opens it."""
    top = root / kind.base_folder
    top.mkdir(parents=True)
    key = "labels" if kind is CIFAR10 else "fine_labels"
    for attribute in ("train_list", "test_list"):
        written = []
        for name, _ in getattr(kind, attribute):
            labels = [index % 3 for index in range(9)]
            pixels = np.array([COLOURS[label] for label in labels], np.uint8).repeat(1024, axis=1)
            (top / name).write_bytes(pickle.dumps({"data": pixels, key: labels}))
            written.append([name, md5(top / name)])
        patch.setattr(kind, attribute, written)
    meta = top / kind.meta["filename"]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: list(ANIMALS)}))
    patch.setattr(kind, "meta", kind.meta | {"md5": md5(meta)})


def cifar10(root: Path, patch: pytest.MonkeyPatch) -> None:
    arrays(root, patch, CIFAR10)


def cifar100(root: Path, patch: pytest.MonkeyPatch) -> None:
    arrays(root, patch, CIFAR100)


def scenes(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Folders below a letter, some two deep."""
    top = root / "SUN397"
    for label, name in enumerate(SCENES):
        for number in range(9):
            draw(top / name / f"sun_{name[0]}{label}{number}.jpg", label, MODES.get(number, "RGB"))
    write_lines(top / "ClassName.txt", [f"/{name}" for name in SCENES])


def objects(root: Path, patch: pytest.MonkeyPatch) -> None:
    """A folder of background images is none of the classes."""
    top = root / "caltech101" / "101_ObjectCategories"
    for label, name in enumerate(OBJECTS):
        for number in range(1, 10):
            draw(top / name / f"image_{number:04d}.jpg", label, MODES.get(number, "RGB"))
    draw(top / "BACKGROUND_Google" / "image_0001.jpg", 0)


BUILDERS = {
    "Flowers102": flowers,
    "OxfordIIITPet": pets,
    "DTD": textures,
    "Food101": meals,
    "EuroSAT": land,
    "CIFAR10": cifar10,
    "CIFAR100": cifar100,
    "SUN397": scenes,
    "Caltech101": objects,
}
