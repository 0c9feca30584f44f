"""One image, of whatever kind, as a small square of bytes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.common.errors import reason_of
from pipeline.common.interpolation import Interpolation

MOST_PIXELS = 256_000_000
LARGE_PIXELS = 16_000_000
BAND_PIXELS = 4_000_000
# With antialias, as Pillow's BILINEAR and BICUBIC have it.
_OPTIONS = {
    "bilinear": ResizeOptions(ResizeAlg.convolution(FilterType.bilinear)),
    "bicubic": ResizeOptions(ResizeAlg.convolution(FilterType.catmull_rom)),
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_square(
    image: Image.Image, size: int, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Resize to size x size without keeping the aspect, with antialias.

    The EXIF orientation is applied, transparency laid on white, 16-bit grey scaled to 8 bits; of
    an animation the first frame is taken. No second copy of the decoded image is made.
    A JPEG of over 16 megapixels is decoded at a reduced scale, at least four times `size`.

    Args:
        image: of any mode but floating-point; best not loaded yet.
        size: in pixels.
        interpolation: a filter of Pillow's, whose result comes out to one grey level (bilinear).

    Returns:
        uint8 [size, size, 3], red, green and blue.

    Raises:
        Exception: of whatever type Pillow raises on a damaged file; ValueError where the range
            of the pixels is unknown or the image is too elongated.
    """
    if size * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are too elongated to resize")
    if image.width * image.height > LARGE_PIXELS:
        image.draft(None, (4 * size, 4 * size))
    image.load()
    square = _resize(image, size, interpolation)
    # Turned last: on the full image it would cost a second copy, and the outcome is the same.
    turn = _TURNS.get(_orientation(image))
    return square if turn is None else np.asarray(Image.fromarray(square).transpose(turn))


@contextmanager
def large_images_allowed() -> Iterator[None]:
    """Lift Pillow's own limits to MOST_PIXELS, silently; above it decoding raises.

    For the whole process, so no longer than needed.
    """
    before = Image.MAX_IMAGE_PIXELS
    # Pillow warns above its limit and refuses above twice its limit.
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def reason(error: Exception) -> str:
    """Why an image cannot be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    return reason_of(error)


def _resize(image: Image.Image, size: int, interpolation: Interpolation) -> np.ndarray:
    """First across, band by band, then down: each conversion of a band makes a copy of it."""
    if image.width * image.height <= BAND_PIXELS:
        return _scaled(_on_white(image), (size, size), interpolation)
    narrow = Image.new("RGB", (size, image.height))
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band = _on_white(image.crop((0, top, image.width, bottom)))
        scaled = _scaled(band, (size, band.height), interpolation)
        narrow.paste(Image.fromarray(scaled), (0, top))
    return _scaled(narrow, (size, size), interpolation)


def _scaled(image: Image.Image, size: tuple[int, int], interpolation: Interpolation) -> np.ndarray:
    """uint8 [height, width, 3] of an RGB image; Pillow's own resize takes twice as long."""
    source = ImageData(*image.size, PixelType.U8x3, image.tobytes())
    scaled = ImageData(*size, PixelType.U8x3)
    Resizer().resize(source, scaled, _OPTIONS[interpolation])
    return np.frombuffer(scaled.get_buffer(), np.uint8).reshape(size[1], size[0], 3)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("the range of floating-point pixels is unknown")
    if image.mode.startswith("I"):
        levels = np.asarray(image).clip(0, 65535).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    colours = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(colours, mask=colours)
    return white


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        # The pixels are sound; damaged metadata says nothing about how to turn them.
        return 1
