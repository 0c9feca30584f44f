"""What a look at a folder finds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.datasets.inspection import kinds, look_at, look_at_all, summarize
from pipeline.datasets.readers.image_folder import list_image_folder
from pipeline.datasets.repeats import find_repeats
from pipeline.datasets.store.decode import to_square


def picture(seed: int, mode: str = "RGB", size: tuple[int, int] = (30, 20)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def save(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def looks_of(root: Path) -> pd.DataFrame:
    return look_at_all(list_image_folder(root, "the folder"), lambda done: None)


def is_readable(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            to_square(image, 8)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_trouble_is_found_where_decoding_finds_it(
    tmp_path: Path, suffix: str, share: float
) -> None:
    path = save(tmp_path / f"x{suffix}", picture(0))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    found = look_at(path)
    assert (found.trouble == "") == is_readable(path)
    assert share < 1 or (found.width, found.height) == (30, 20)


def test_equal_files_are_told_apart_by_where_they_are(tmp_path: Path) -> None:
    for number, folder in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
        save(tmp_path / folder / "own.png", picture(number))
    for place in ("train/cat/a.png", "test/cat/b.png", "train/dog/c.png"):
        save(tmp_path / place, picture(100))
    for place in ("train/dog/d.png", "train/dog/e.png"):
        save(tmp_path / place, picture(101))
    found = find_repeats(looks_of(tmp_path))
    [group] = found.across_splits
    assert {Path(path).name for path in group} == {"a.png", "b.png", "c.png"}
    assert found.across_classes == (group,)
    [within] = found.within_class
    assert {Path(path).name for path in within} == {"d.png", "e.png"}


def test_counts_are_of_what_can_be_read(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"cat/{number}.png", picture(number, "L", (30 + number, 20)))
        save(tmp_path / f"dog/{number}.png", picture(number, "RGBA"))
    (tmp_path / "dog/3.png").write_bytes(b"x")
    looks = looks_of(tmp_path)
    seen = summarize(looks, ["cat", "dog"])
    assert (seen.by_class, seen.broken) == ({"cat": 3, "dog": 3}, 1)
    assert (seen.validation, seen.test, seen.images, seen.median_side) == (None, None, 6, 20)
    assert kinds(looks) == {"grey-scale": 3, "transparent": 3}
