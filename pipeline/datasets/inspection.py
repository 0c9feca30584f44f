"""What a folder of images holds: sizes, kinds of pixels, broken files, equal files."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields, replace
from io import BytesIO
from pathlib import Path

import pandas as pd
from PIL import Image

from pipeline.datasets.listing import IMAGE_FORMATS, Listing, require_regular
from pipeline.datasets.store.decode import large_images_allowed, reason, to_square

THREADS = 8  # reading waits for the disk, and hashing and decoding let other threads run
END_OF_JPEG = b"\xff\xd9"
TRIAL_SIZE = 8  # pixels, of what an image in doubt is decoded to
TONES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True)
class Look:
    """What one file is.

    Attributes:
        content: MD5 of its bytes in hexadecimal; empty where it cannot be read.
        width, height: in pixels, as stored; 0 where no header can be read.
        mode: of its pixels, as Pillow names them.
        has_alpha: whether a pixel may be transparent.
        is_animated: whether it has further frames.
        trouble: why prepare-data could not read it; empty where it can.
    """

    content: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    has_alpha: bool = False
    is_animated: bool = False
    trouble: str = ""


def look_at_all(listing: Listing, on_progress: Callable[[int], None]) -> pd.DataFrame:
    """The samples of a listing with what each file is.

    The bytes of every file are read once. Pixels are decoded only where neither the end of a JPEG
    nor the checksums of a PNG tell that they are all there.

    Args:
        on_progress: called with the number of images done since it was called last.

    Returns:
        The listing's columns and those of `Look`, in the order of the listing.
    """
    paths = [Path(listing.read.locate(path)) for path in listing.samples["path"]]
    looks = []
    with large_images_allowed(), ThreadPoolExecutor(THREADS) as pool:
        for look in pool.map(look_at, paths):
            looks.append(astuple(look))
            on_progress(1)
    found = pd.DataFrame(looks, columns=[field.name for field in fields(Look)])
    return pd.concat([listing.samples.reset_index(drop=True), found], axis=1)


def look_at(path: Path) -> Look:
    """What one file is; whatever is wrong with it is its `trouble`."""
    try:
        require_regular(path)
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        return Look(trouble=reason(error))
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    try:
        with Image.open(BytesIO(content), formats=IMAGE_FORMATS) as image:
            look = Look(
                digest,
                *image.size,
                image.mode,
                image.has_transparency_data,
                getattr(image, "is_animated", False),
            )
    # Pillow has no type of its own for damaged files: nearly any can come.
    except Exception as error:
        return Look(digest, trouble=reason(error))
    return replace(look, trouble=_trouble(content))


def _trouble(content: bytes) -> str:
    try:
        with Image.open(BytesIO(content), formats=IMAGE_FORMATS) as image:
            if image.format == "PNG":
                image.verify()
            elif image.format != "JPEG" or not content.rstrip(b"\0").endswith(END_OF_JPEG):
                to_square(image, TRIAL_SIZE)
    except Exception as error:
        return reason(error)
    return ""


@dataclass(frozen=True)
class Seen:
    """What the choice of params goes by; counts are of images that can be read.

    Attributes:
        by_class: images of each class that splits are drawn from, train/ where there is one.
        validation, test: images of the published splits; None where that one is not published.
        broken: files that cannot be read.
        median_side: of the shorter sides, in pixels.
    """

    by_class: dict[str, int]
    validation: int | None
    test: int | None
    broken: int
    median_side: int

    @property
    def images(self) -> int:
        """Of all splits."""
        return sum(self.by_class.values()) + (self.validation or 0) + (self.test or 0)


def summarize(looks: pd.DataFrame, classes: Sequence[str]) -> Seen:
    """Count what `look_at_all` found."""
    readable = looks[looks["trouble"] == ""]
    pool = readable.loc[readable["split"].isin(["", "train"]), "class_name"].value_counts()
    published = readable["split"].value_counts()
    named = set(looks["split"])
    sides = readable[["width", "height"]].min(axis=1)
    return Seen(
        by_class={name: int(pool.get(name, 0)) for name in classes},
        validation=int(published.get("validation", 0)) if "validation" in named else None,
        test=int(published.get("test", 0)) if "test" in named else None,
        broken=len(looks) - len(readable),
        median_side=int(sides.median()) if len(sides) else 0,
    )


def kinds(looks: pd.DataFrame) -> dict[str, int]:
    """How many readable images are of a kind that is worth a word; kinds of none are left out."""
    readable = looks[looks["trouble"] == ""]
    mode = readable["mode"]
    counts = {
        "grey-scale": mode.isin(TONES),
        "transparent": readable["has_alpha"],
        "CMYK": mode == "CMYK",
        "16 bits": mode.str.startswith("I"),
        "animated": readable["is_animated"],
    }
    return {name: int(is_kind.sum()) for name, is_kind in counts.items() if is_kind.any()}
