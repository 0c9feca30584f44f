from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image, ImageOps

from pipeline.common.interpolation import Interpolation
from pipeline.datasets.store.decode import to_square

PHOTOGRAPHS = Path(sklearn.datasets.__file__).with_name("images")
WHITE, RED = (255, 255, 255), (255, 0, 0)


def noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels)[: 2 if channels == 1 else 3]
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def smooth(width: int, height: int) -> Image.Image:
    return Image.fromarray(noise(6, 5)).resize((width, height), Image.Resampling.BICUBIC)


def reread(image: Image.Image, path: Path, **options: Any) -> Image.Image:
    image.save(path, **options)
    return Image.open(path)


@pytest.mark.parametrize(("width", "height"), [(40, 30), (9, 50), (8, 8), (3, 5), (500, 8)])
def test_a_square_is_pillows_bilinear_resize_of_the_whole(width: int, height: int) -> None:
    image = Image.fromarray(noise(width, height))
    expected = np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR), int)
    square = to_square(image, 8)
    assert square.dtype == np.uint8
    assert np.abs(square - expected).max() <= 1


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [40, 112, 256, 700])
@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_a_photograph_is_resized_as_by_pillow(
    name: str, size: int, interpolation: Interpolation
) -> None:
    with Image.open(PHOTOGRAPHS / name) as image:
        expected = image.resize((size, size), Image.Resampling[interpolation.upper()])
        off = np.abs(to_square(image, size, interpolation) - np.asarray(expected, int))
    assert off.mean() < 1
    assert np.percentile(off, 99) <= 1


def test_bicubic_is_sharper_than_bilinear() -> None:
    image = Image.fromarray(noise(60, 60))
    assert to_square(image, 20, "bicubic").std() > 1.1 * to_square(image, 20).std()


@pytest.mark.parametrize(("width", "height"), [(5000, 2000), (2000, 5000)])
def test_a_large_image_is_resized_as_any_other(width: int, height: int) -> None:
    image = smooth(width, height)
    expected = np.asarray(image.resize((24, 24), Image.Resampling.BILINEAR), int)
    assert np.abs(to_square(image, 24) - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    turned = ImageOps.exif_transpose(reread(smooth(40, 24), path, exif=exif)).convert("RGB")
    expected = np.asarray(turned.resize((8, 8), Image.Resampling.BILINEAR), int)
    assert np.abs(to_square(Image.open(path), 8) - expected).max() <= 1


def test_damaged_exif_does_not_make_an_image_bad(tmp_path: Path) -> None:
    image = reread(Image.new("RGB", (8, 8), RED), tmp_path / "a.jpg", exif=b"Exif\0\0garbage!")
    assert to_square(image, 8).shape == (8, 8, 3)


def half_transparent(mode: str) -> Image.Image:
    """Black where alpha is 0, red (or level 100) at half alpha elsewhere."""
    if mode == "LA":
        pixels = np.zeros((8, 8, 2), np.uint8)
        pixels[:, 4:] = (100, 128)
    else:
        pixels = np.zeros((8, 8, 4), np.uint8)
        pixels[:, 4:] = (*RED, 128)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("mode", "right"), [("RGBA", (255, 127, 127)), ("LA", (177, 177, 177))])
def test_transparency_lies_on_white(tmp_path: Path, mode: str, right: tuple[int, int, int]) -> None:
    square = to_square(reread(half_transparent(mode), tmp_path / "a.png"), 8)
    assert tuple(square[0, 0]) == WHITE
    assert np.abs(square[0, 7].astype(int) - right).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "gif"])
@pytest.mark.parametrize("side", [8, 2400])
def test_a_transparent_palette_colour_lies_on_white(tmp_path: Path, suffix: str, side: int) -> None:
    image = Image.new("P", (side, side), 0)
    image.putpalette([0, 0, 0, *RED])
    image.paste(1, (side // 2, 0, side, side))
    square = to_square(reread(image, tmp_path / f"a.{suffix}", transparency=0), 8)
    assert tuple(square[0, 0]) == WHITE
    assert tuple(square[0, 7]) == RED


def test_a_transparent_key_colour_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), RED)
    image.paste((1, 2, 3), (0, 0, 4, 8))
    square = to_square(reread(image, tmp_path / "a.png", transparency=(1, 2, 3)), 8)
    assert tuple(square[0, 0]) == WHITE
    assert tuple(square[0, 7]) == RED


def test_the_colour_of_transparent_pixels_does_not_bleed() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[::2] = (*RED, 255)
    square = to_square(Image.fromarray(pixels), 8)
    assert square[..., 0].min() == 255


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "HSV"])
def test_other_modes_become_red_green_blue(mode: str) -> None:
    image = smooth(20, 20).convert(mode)
    expected = np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BILINEAR), int)
    assert np.abs(to_square(image, 8) - expected).max() <= 1


def test_a_cmyk_jpeg_keeps_its_colour(tmp_path: Path) -> None:
    image = reread(Image.new("RGB", (16, 16), RED).convert("CMYK"), tmp_path / "a.jpg")
    assert image.mode == "CMYK"
    assert np.abs(to_square(image, 8).astype(int) - RED).max() <= 4


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("level", "expected"), [(0, 0), (257, 1), (32896, 128), (65535, 255)])
def test_16_bit_grey_is_scaled(tmp_path: Path, suffix: str, level: int, expected: int) -> None:
    pixels = np.full((9, 9), level, np.uint16)
    image = reread(Image.fromarray(pixels), tmp_path / f"a.{suffix}")
    assert image.mode.startswith("I")
    assert (to_square(image, 8) == expected).all()


def test_wide_integer_grey_is_clipped() -> None:
    pixels = np.array([[-5, 65535], [70000, 32896]], np.int32).repeat(4, 0).repeat(4, 1)
    square = to_square(Image.fromarray(pixels), 8)
    assert [square[0, 0, 0], square[0, 7, 0], square[7, 0, 0], square[7, 7, 0]] == [
        0,
        255,
        255,
        128,
    ]


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, "blue", "lime")]
    image = reread(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert image.n_frames == 3
    assert (to_square(image, 8) == RED).all()


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="the range of floating-point pixels is unknown"):
        to_square(Image.new("F", (8, 8)), 8)


def test_a_huge_jpeg_is_decoded_at_a_reduced_scale_without_visible_loss(tmp_path: Path) -> None:
    original = smooth(5000, 4000)
    image = reread(original, tmp_path / "a.jpg", quality=95)
    expected = np.asarray(original.resize((32, 32), Image.Resampling.BILINEAR), int)
    assert np.abs(to_square(image, 32) - expected).max() <= 3
    assert image.size == (625, 500)


def test_a_jpeg_of_usual_size_is_decoded_in_full(tmp_path: Path) -> None:
    image = reread(smooth(600, 400), tmp_path / "a.jpg")
    to_square(image, 8)
    assert image.size == (600, 400)
