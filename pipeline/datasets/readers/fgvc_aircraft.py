"""FGVC-Aircraft 2013b as published: lists of image ids and variants, a banner on every image."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pipeline.common.errors import UserError
from pipeline.datasets.listing import ImageFolderReader, Listing, name_some
from pipeline.datasets.readers.published import (
    ADVICE,
    Counts,
    build_listing,
    check_count,
    check_images_exist,
    find_layout,
    read_lines,
    read_pairs,
)

PUBLISHED = Counts(classes=100, images={"train": 3334, "validation": 3333, "test": 3333})
ARCHIVE_FOLDER = "fgvc-aircraft-2013b"
IMAGES, CLASSES = "data/images", "data/variants.txt"
LISTS = {
    split: f"data/images_variant_{split}.txt" for split in ("train", "val", "trainval", "test")
}
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
BANNER_PIXELS = 20


@dataclass(frozen=True)
class AircraftReader(ImageFolderReader):
    """Opens images without the banner at their bottom that credits the photographer."""

    def __call__(self, path: str) -> Image.Image:
        with super().__call__(path) as image:
            if image.height <= BANNER_PIXELS:
                raise ValueError(f"{image.height} pixels high, no more than the credit banner")
            return image.crop((0, 0, image.width, image.height - BANNER_PIXELS))


def list_fgvc_aircraft(root: Path, counts: Counts = PUBLISHED) -> Listing:
    """FGVC-Aircraft's variants with the published training, validation and test split.

    Args:
        root: the folder with data/, or the one with fgvc-aircraft-2013b/.
        counts: what is expected.

    Raises:
        UserError: a file is missing or malformed, a variant is unknown, the lists disagree,
            counts differ from what is expected, or an image is not there.
    """
    top = find_layout(root, (ARCHIVE_FOLDER,), (f"{IMAGES}/", CLASSES, *LISTS.values()))
    classes = read_lines(top / CLASSES)
    check_count(top / CLASSES, "variants", counts.classes, len(classes))
    pairs = {split: read_pairs(top / name, "<image id> <variant>") for split, name in LISTS.items()}
    rows = []
    for published, split in SPLIT_NAMES.items():
        path, images = top / LISTS[published], pairs[published]
        check_count(path, "images", counts.images.get(split), len(images))
        unknown = [variant for _, variant in images if variant not in classes]
        if unknown:
            raise UserError(
                f"{path} has variants that {CLASSES} lacks: {name_some(unknown)}; {ADVICE}"
            )
        # Leading zeros belong to the id: it is the name of a file, not a number.
        found = [(split, variant, f"{IMAGES}/{image}.jpg") for image, variant in images]
        check_images_exist(top, [image for _, _, image in found], str(path))
        rows += found
    if set(pairs["trainval"]) != {*pairs["train"], *pairs["val"]}:
        raise UserError(
            f"{top / LISTS['trainval']}: expected the {len(pairs['train']) + len(pairs['val']):,} "
            f"images of train and val, found {len(pairs['trainval']):,}, not the same; {ADVICE}"
        )
    return build_listing(rows, classes, AircraftReader(top), top)
