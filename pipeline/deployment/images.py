"""Images as users bring them, as the squares that a model takes."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.common.files import find_files
from pipeline.common.interpolation import Interpolation
from pipeline.datasets.listing import IMAGE_FORMATS, IMAGE_SUFFIXES, is_image_name
from pipeline.datasets.store.decode import large_images_allowed, reason, to_square

THREADS = 4
BATCH = 64
MOST_PIXELS = 50_000_000  # of an image that comes over a network


@dataclass(frozen=True)
class Opened:
    """Some images, and those that could not be read.

    Attributes:
        paths: of the readable ones.
        squares: uint8 [N, size, size, 3], in the order of paths.
        unreadable: the other paths, with the reason.
    """

    paths: Sequence[Path]
    squares: np.ndarray
    unreadable: dict[Path, str]


def find_images(places: Sequence[Path]) -> list[Path]:
    """The files that are named, and the images below the folders that are named, sorted.

    Raises:
        UserError: a place does not exist, or there is no image.
    """
    found = find_files(places, _is_image, "images or folders of images")
    if not found:
        names = ", ".join(map(str, places))
        raise UserError(f"there is no image in {names} (looked for {' '.join(IMAGE_SUFFIXES)})")
    return found


def open_images(
    paths: Sequence[Path], size: int, interpolation: Interpolation = "bilinear"
) -> Iterator[Opened]:
    """Read images as prepare-data does, in batches, several at a time.

    Args:
        size: side of the squares in pixels.
        interpolation: by which they are resized.
    """
    with large_images_allowed(), ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(paths), BATCH):
            batch = paths[first : first + BATCH]
            tried = list(pool.map(lambda path: _open(path, size, interpolation), batch))
            pairs = list(zip(batch, tried, strict=True))
            squares = [square for square in tried if isinstance(square, np.ndarray)]
            yield Opened(
                [path for path, square in pairs if isinstance(square, np.ndarray)],
                np.stack(squares) if squares else np.empty((0, size, size, 3), np.uint8),
                {path: square for path, square in pairs if isinstance(square, str)},
            )


def square_of(
    data: bytes, size: int, most_pixels: int, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """An image that came as bytes, uint8 [size, size, 3].

    Args:
        most_pixels: of the decoded image.
        interpolation: by which it is resized.

    Raises:
        ValueError: it is no image, damaged, or has more pixels; the message says which.
    """
    return _square(io.BytesIO(data), size, most_pixels, interpolation)


def _open(path: Path, size: int, interpolation: Interpolation) -> np.ndarray | str:
    try:
        return _square(path, size, None, interpolation)
    except ValueError as error:
        return str(error)


def _square(
    source: Path | io.BytesIO, size: int, most_pixels: int | None, interpolation: Interpolation
) -> np.ndarray:
    try:
        with Image.open(source, formats=IMAGE_FORMATS) as image:
            if most_pixels is not None and image.width * image.height > most_pixels:
                raise ValueError(
                    f"{image.width} x {image.height} pixels, at most {most_pixels:,} are taken"
                )
            return to_square(image, size, interpolation)
    except Exception as error:  # Pillow raises whatever its decoders do
        raise ValueError(reason(error)) from None


def _is_image(path: Path) -> bool:
    return is_image_name(path.name) and not any(part.startswith(".") for part in path.parts)
