"""COCO-70 as its authors publish it: a list for each split, classes counted from 0."""

from pathlib import Path

from pipeline.datasets.listing import ImageFolderReader, Listing
from pipeline.datasets.readers.published import (
    Counts,
    build_listing,
    check_balance,
    check_count,
    check_images_exist,
    class_of,
    find_layout,
    parse_number,
    read_lines,
    read_pairs,
)

PUBLISHED = Counts(
    classes=70, images={"train": 56_000, "validation": 7_000, "test": 7_000}, balanced=True
)
ARCHIVE_FOLDERS = ("COCO70", "COCO-70")
CLASSES = "classes.txt"
SPLIT_NAMES = {"train": "train", "dev": "validation", "test": "test"}
FORM = "<filename> <class>"


def list_coco_70(root: Path, counts: Counts = PUBLISHED) -> Listing:
    """COCO-70 with its published training, validation (dev) and test split.

    Args:
        root: the folder with classes.txt, {train,dev,test}.txt and {train,dev,test}/, or the one
            with COCO70/.
        counts: what is expected.

    Raises:
        UserError: a file is missing or malformed, a class is unknown, counts differ from what is
            expected, or an image is not there.
    """
    needed = [piece for split in SPLIT_NAMES for piece in (f"{split}.txt", f"{split}/")]
    top = find_layout(root, ARCHIVE_FOLDERS, (CLASSES, *needed))
    names = read_lines(top / CLASSES)
    check_count(top / CLASSES, "classes", counts.classes, len(names))
    classes = dict(enumerate(names))
    rows = []
    for folder, split in SPLIT_NAMES.items():
        path = top / f"{folder}.txt"
        found = [
            (
                split,
                class_of(classes, parse_number(number, path, FORM), path, image),
                f"{folder}/{image.removeprefix(f'{folder}/')}",
            )
            for image, number in read_pairs(path, FORM, from_right=True)
        ]
        check_count(path, "images", counts.images.get(split), len(found))
        if counts.balanced:
            check_balance(path, [name for _, name, _ in found], names)
        check_images_exist(top, [image for _, _, image in found], str(path))
        rows += found
    return build_listing(rows, names, ImageFolderReader(top), top)
