"""Stanford Cars as published: annotations in MATLAB files, classes counted from 1."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from pipeline.common.errors import UserError, one_line
from pipeline.datasets.listing import ImageFolderReader, Listing
from pipeline.datasets.readers.published import (
    ADVICE,
    Counts,
    build_listing,
    check_count,
    check_images_exist,
    class_of,
    find_layout,
)

PUBLISHED = Counts(classes=196, images={"train": 8144, "test": 8041})
ARCHIVE_FOLDERS = ("stanford_cars", "stanford-cars")
META, TRAIN_LABELS = "devkit/cars_meta.mat", "devkit/cars_train_annos.mat"
TEST_LABELS = "cars_test_annos_withlabels.mat"
IMAGE_FOLDERS = {"train": "cars_train", "test": "cars_test"}


def list_stanford_cars(root: Path, counts: Counts = PUBLISHED) -> Listing:
    """Stanford Cars with its published training and test split.

    Args:
        root: the folder with devkit/, cars_train/ and cars_test/, or the one with stanford_cars/;
            the labels of the test images lie in devkit/ or beside it.
        counts: what is expected.

    Raises:
        UserError: a file is missing or damaged, a label is unknown, counts differ from what is
            expected, or an image is not there.
    """
    folders = [f"{name}/" for name in IMAGE_FOLDERS.values()]
    top = find_layout(root, ARCHIVE_FOLDERS, (META, TRAIN_LABELS, *folders))
    names = [str(name).strip() for name in _load(top / META, "class_names")]
    check_count(top / META, "classes", counts.classes, len(names))
    classes = dict(enumerate(names, 1))
    rows = []
    for split, path in (("train", top / TRAIN_LABELS), ("test", _find_test_labels(top))):
        annotations = _load(path, "annotations")
        if not {"class", "fname"} <= set(annotations.dtype.names or ()):
            raise UserError(
                f"{path}: expected annotations with the fields class and fname, found "
                f"{', '.join(annotations.dtype.names or ()) or 'none'}; {ADVICE}"
            )
        check_count(path, f"images for {split}", counts.images.get(split), len(annotations))
        found = [
            (
                split,
                class_of(classes, int(annotation["class"]), path, str(annotation["fname"])),
                f"{IMAGE_FOLDERS[split]}/{annotation['fname']}",
            )
            for annotation in annotations
        ]
        check_images_exist(top, [image for _, _, image in found], str(path))
        rows += found
    return build_listing(rows, names, ImageFolderReader(top), top)


def _find_test_labels(top: Path) -> Path:
    places = [top / "devkit" / TEST_LABELS, top / TEST_LABELS]
    for path in places:
        if path.is_file():
            return path
    raise UserError(
        f"{places[0]} is missing, and is not in {top} either; expected it beside the devkit's "
        "cars_test_annos.mat, which has no labels; download it and put it there"
    )


def _load(path: Path, variable: str) -> Any:
    """A variable of a MATLAB file as an array of one dimension that is not empty."""
    try:
        values = np.atleast_1d(loadmat(path, squeeze_me=True, variable_names=[variable])[variable])
    # scipy has no type of its own for damaged files: nearly any can come.
    except Exception as error:
        raise UserError(
            f"{path} is no MATLAB file with {variable} ({one_line(error)}); {ADVICE}"
        ) from None
    if values.size == 0:
        raise UserError(f"{path} has no {variable}; {ADVICE}")
    return values
