"""Miniatures of published data sets, file by file as their archives unpack.

Each function takes a folder, fills the archive's own top folder in it, and returns that folder.
Every data set has three classes; the first image of a split is grey-scale, the second CMYK.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from pipeline.datasets.readers.published import Counts

COLOURS = ((200, 60, 40), (60, 160, 50), (30, 30, 120))
MODES = {0: "L", 1: "CMYK"}
SIZE = (40, 60)
BANNER = 20

BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012")
AIRCRAFT = ("707-320", "Eurofighter Typhoon", "F-16A/B")
THINGS = ("person", "traffic light", "hot dog")

COUNTS = {
    "cub-200-2011": Counts(3, {"train": 18, "test": 9}),
    "stanford-cars": Counts(3, {"train": 18, "test": 9}),
    "fgvc-aircraft": Counts(3, {"train": 12, "validation": 6, "test": 9}),
    "coco-70": Counts(3, {"train": 12, "validation": 6, "test": 9}, balanced=True),
}


def draw(path: Path, label: int, mode: str = "RGB", size: tuple[int, int] = SIZE) -> None:
    """A JPEG in the colour of its class, with noise that depends on its name alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(zlib.crc32(path.name.encode())).integers(-15, 15, (*size, 3))
    pixels = np.clip(np.array(COLOURS[label]) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels.transpose(1, 0, 2)).convert(mode).save(path, quality=95)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def edit_lines(path: Path, change: dict[int, str | None]) -> None:
    """Replace lines by their index; None takes one out."""
    lines: list[str | None] = list(path.read_text().splitlines())
    for index, line in change.items():
        lines[index] = line
    write_lines(path, [line for line in lines if line is not None])


def cub_200_2011(folder: Path) -> Path:
    """Ids from 1; every third image is for test."""
    top = folder / "CUB_200_2011"
    images = [
        (f"{name}/{name[4:]}_{index:04d}_{label}.jpg", label)
        for label, name in enumerate(BIRDS)
        for index in range(9)
    ]
    for index, (path, label) in enumerate(images):
        draw(top / "images" / path, label, MODES.get(index, "RGB"))
    numbered = list(enumerate(images, 1))
    write_lines(top / "images.txt", [f"{number} {path}" for number, (path, _) in numbered])
    write_lines(top / "classes.txt", [f"{number} {name}" for number, name in enumerate(BIRDS, 1)])
    write_lines(
        top / "image_class_labels.txt", [f"{number} {label + 1}" for number, (_, label) in numbered]
    )
    write_lines(
        top / "train_test_split.txt", [f"{number} {int(number % 3 != 0)}" for number, _ in numbered]
    )
    return top


def save_annotations(path: Path, rows: Sequence[tuple[int, str]]) -> None:
    """A struct array as in the devkit: the box, the class from 1, the file's name."""
    fields = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
    table = np.empty((1, len(rows)), dtype=[(name, object) for name in fields])
    for index, (number, name) in enumerate(rows):
        table[0, index] = (1, 2, 30, 40, number, name)
    savemat(path, {"annotations": table})


def stanford_cars(folder: Path) -> Path:
    """Both splits name their images from 00001.jpg."""
    top = folder / "stanford_cars"
    (top / "devkit").mkdir(parents=True)
    savemat(top / "devkit/cars_meta.mat", {"class_names": np.array([CARS], dtype=object)})
    for split, count, labels in (
        ("train", 18, top / "devkit/cars_train_annos.mat"),
        ("test", 9, top / "cars_test_annos_withlabels.mat"),
    ):
        rows = [(index % 3 + 1, f"{index + 1:05d}.jpg") for index in range(count)]
        for index, (number, name) in enumerate(rows):
            draw(top / f"cars_{split}" / name, number - 1, MODES.get(index, "RGB"))
        save_annotations(labels, rows)
    return top


def fgvc_aircraft(folder: Path) -> Path:
    """Ids with leading zeros; a white banner below each image."""
    top = folder / "fgvc-aircraft-2013b"
    data = top / "data"
    write_lines(data / "variants.txt", AIRCRAFT)
    lists: dict[str, list[str]] = {}
    start = 34309
    for split, count in (("train", 12), ("val", 6), ("test", 9)):
        lists[split] = []
        for index in range(count):
            name, label = f"{start:07d}", index % 3
            start += 1
            path = data / "images" / f"{name}.jpg"
            draw(path, label, MODES.get(index, "RGB"))
            with Image.open(path) as image:
                mode, banner = image.mode, image.convert("RGB")
            banner.paste("white", (0, SIZE[1] - BANNER, *SIZE))
            banner.convert(mode).save(path, quality=95)
            lists[split].append(f"{name} {AIRCRAFT[label]}")
    lists["trainval"] = [*lists["train"], *lists["val"]]
    for split, lines in lists.items():
        write_lines(data / f"images_variant_{split}.txt", lines)
    return top


def coco_70(folder: Path) -> Path:
    """Classes from 0; a file's name may contain a space."""
    top = folder / "COCO70"
    write_lines(top / "classes.txt", THINGS)
    for split, count in (("train", 12), ("dev", 6), ("test", 9)):
        rows = [(f"{index:012d} {split}.jpg", index % 3) for index in range(count)]
        for index, (name, label) in enumerate(rows):
            draw(top / split / name, label, MODES.get(index, "RGB"))
        write_lines(top / f"{split}.txt", [f"{name} {label}" for name, label in rows])
    return top


BUILDERS = {
    "cub-200-2011": cub_200_2011,
    "stanford-cars": stanford_cars,
    "fgvc-aircraft": fgvc_aircraft,
    "coco-70": coco_70,
}
