"""Images as users bring them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.deployment import images
from pipeline.deployment.images import find_images, open_images, square_of


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (9, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_folders_give_their_images_and_files_are_taken_as_they_are_named(tmp_path: Path) -> None:
    within = [save(tmp_path / "a" / name, (1, 2, 3)) for name in ("1.png", "b/2.jpg")]
    (tmp_path / "a/notes.txt").write_text("x")
    save(tmp_path / "a/.hidden/3.png", (1, 2, 3))
    odd = tmp_path / "odd.dat"
    odd.write_bytes(within[0].read_bytes())
    assert find_images([tmp_path / "a", odd]) == [*within, odd]


@pytest.mark.parametrize(("place", "words"), [("none", "does not exist"), ("", "no image in")])
def test_what_is_not_there_is_refused(tmp_path: Path, place: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_images([tmp_path / place])


def test_batches_keep_the_order_and_name_what_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "BATCH", 2)
    good = [save(tmp_path / f"{grey}.png", (grey, grey, grey)) for grey in (10, 20, 30)]
    bad = tmp_path / "bad.png"
    bad.write_bytes(good[0].read_bytes()[:30])
    opened = list(open_images([good[0], bad, good[1], good[2]], 4))
    assert [list(part.paths) for part in opened] == [[good[0]], good[1:]]
    assert opened[0].unreadable.keys() == {bad}
    assert [square.mean() for part in opened for square in part.squares] == [10, 20, 30]


def test_bytes_are_read_as_files_are(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", (200, 100, 50), (40, 20))
    [opened] = open_images([path], 8)
    assert np.array_equal(square_of(path.read_bytes(), 8, 800), opened.squares[0])


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "not an image"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"), (None, "at most 100")],
)
def test_bytes_that_are_no_image_or_too_large_are_refused(data: bytes | None, words: str) -> None:
    if data is None:
        file = io.BytesIO()
        Image.new("L", (11, 10)).save(file, "PNG")
        data = file.getvalue()
    with pytest.raises(ValueError, match=words):
        square_of(data, 8, 100)
