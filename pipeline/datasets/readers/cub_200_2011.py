"""CUB-200-2011 as published: four lists that share the ids of the images, from 1."""

from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.datasets.listing import ImageFolderReader, Listing, name_some
from pipeline.datasets.readers.published import (
    ADVICE,
    Counts,
    build_listing,
    check_count,
    check_images_exist,
    class_of,
    find_layout,
    parse_number,
    read_numbered,
)

PUBLISHED = Counts(classes=200, images={"train": 5994, "test": 5794})
ARCHIVE_FOLDERS = ("CUB_200_2011",)
IMAGES, CLASSES, LABELS, SPLITS = (
    *("images.txt", "classes.txt"),
    *("image_class_labels.txt", "train_test_split.txt"),
)
SPLIT_NAMES = {0: "test", 1: "train"}
LABEL_FORM, SPLIT_FORM = "<image id> <class id>", "<image id> <1 for train, 0 for test>"


def list_cub_200_2011(root: Path, counts: Counts = PUBLISHED) -> Listing:
    """CUB-200-2011 with its published training and test split.

    Args:
        root: the folder with images/ and the lists, or the one with CUB_200_2011/.
        counts: what is expected.

    Raises:
        UserError: a file is missing or malformed, the lists disagree, counts differ from what is
            expected, or an image is not there.
    """
    top = find_layout(root, ARCHIVE_FOLDERS, ("images/", IMAGES, CLASSES, LABELS, SPLITS))
    classes = read_numbered(top / CLASSES, "<class id> <name>")
    check_count(top / CLASSES, "classes", counts.classes, len(classes))
    images = read_numbered(top / IMAGES, "<image id> <path>")
    if counts.images:
        check_count(top / IMAGES, "images", sum(counts.images.values()), len(images))
    labels = _read_of_all(top / LABELS, LABEL_FORM, images)
    splits = _read_of_all(top / SPLITS, SPLIT_FORM, images)
    rows = []
    for number, path in images.items():
        if splits[number] not in SPLIT_NAMES:
            raise UserError(
                f"{top / SPLITS}: expected lines {SPLIT_FORM}, found {splits[number]} for image "
                f"{number}; {ADVICE}"
            )
        name = class_of(classes, labels[number], top / LABELS, path)
        rows.append((SPLIT_NAMES[splits[number]], name, f"images/{path}"))
    for split, expected in counts.images.items():
        found = sum(row[0] == split for row in rows)
        check_count(top / SPLITS, f"images for {split}", expected, found)
    check_images_exist(top, [path for _, _, path in rows], str(top / IMAGES))
    names = [classes[number] for number in sorted(classes)]
    return build_listing(rows, names, ImageFolderReader(top), top)


def _read_of_all(path: Path, form: str, images: dict[int, str]) -> dict[int, int]:
    """A number for each image id of images.txt."""
    values = {
        number: parse_number(text, path, form) for number, text in read_numbered(path, form).items()
    }
    odd = sorted(values.keys() ^ images.keys())
    if odd:
        raise UserError(
            f"{path} and {IMAGES} have different images: {len(values):,} and {len(images):,}; "
            f"only one of them has image {name_some([str(number) for number in odd])}; {ADVICE}"
        )
    return values
