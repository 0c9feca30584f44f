import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.datasets.readers.registry import ImageFolderReader
from pipeline.datasets.store import store_images as module
from pipeline.datasets.store.store_images import store_images


def store(root: Path, names: list[str], **options: Any) -> list[int]:
    options = {
        "work": root / "work", "least_size": 8,
        "on_bad_image": "stop", "workers": 1, "on_progress": lambda done: None,
    } | options  # fmt: skip
    return store_images(names, ImageFolderReader(root), root / "out.npy", 8, "bilinear", **options)


def save_colours(root: Path, count: int) -> list[str]:
    """Images that are told apart by their one colour."""
    names = [f"{index}.png" for index in range(count)]
    for index, name in enumerate(names):
        Image.new("RGB", (9, 7), (index, 0, 0)).save(root / name)
    return names


def left_behind(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.suffix == ".npy")


def test_rows_follow_the_paths_and_progress_adds_up(tmp_path: Path) -> None:
    names = save_colours(tmp_path, 40)[::-1]
    steps: list[int] = []
    assert store(tmp_path, names, on_progress=steps.append) == []
    stored = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert (stored.shape, stored.dtype) == ((40, 8, 8, 3), np.uint8)
    assert list(stored[:, 4, 4, 0]) == list(range(40))[::-1]
    assert sum(steps) == 40
    assert len(steps) > 1
    assert left_behind(tmp_path) == ["out.npy"]


def test_several_processes_store_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = save_colours(tmp_path, 60)
    (tmp_path / names[5]).write_bytes(b"")
    (tmp_path / names[40]).write_bytes(b"")
    assert store(tmp_path, names, on_bad_image="skip") == [5, 40]
    alone = np.load(tmp_path / "out.npy")
    monkeypatch.setattr(module, "POOL_SECONDS", 0.0)
    steps: list[int] = []
    options = {"on_bad_image": "skip", "workers": 2, "on_progress": steps.append}
    assert store(tmp_path, names, **options) == [5, 40]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), alone)
    assert sum(steps) == 60


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def write_png_header(path: Path, width: int, height: int) -> None:
    """A file that says how large it is and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    chunks += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp", "tif"])
def test_a_truncated_image_is_bad(tmp_path: Path, suffix: str) -> None:
    Image.effect_noise((64, 48), 50).convert("RGB").save(tmp_path / f"a.{suffix}")
    truncate(tmp_path / f"a.{suffix}")
    save_colours(tmp_path, 1)
    assert store(tmp_path, [f"a.{suffix}", "0.png"], on_bad_image="skip") == [0]


def test_a_truncated_huge_jpeg_is_bad(tmp_path: Path) -> None:
    Image.radial_gradient("L").resize((4100, 4000)).save(tmp_path / "a.jpg")
    truncate(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="truncated"):
        store(tmp_path, ["a.jpg"])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b""), "not an image of a known format"),
        (lambda path: path.write_text("<html>"), "not an image of a known format"),
        (lambda path: write_png_header(path, 0, 5), "not an image of a known format"),
        (Path.unlink, "No such file or directory"),
        (lambda path: (path.unlink(), path.mkdir()), "no regular file"),
        (lambda path: write_png_header(path, 16001, 16000), "256016000 pixels"),
        (lambda path: Image.new("F", (8, 8)).save(path, "TIFF"), "floating-point"),
        (
            lambda path: write_png_header(path, 1, 40_000_000),
            "1 x 40000000 pixels are too elongated",
        ),
    ],
)
def test_what_is_wrong_with_a_bad_image_is_told(
    tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    names = save_colours(tmp_path, 3)
    damage(tmp_path / names[1])
    with pytest.raises(UserError) as caught:
        store(tmp_path, names)
    message = str(caught.value)
    assert message.startswith(f"1 of 3 images cannot be read: {tmp_path / names[1]} (")
    assert reason in message
    assert message.endswith("leave them out with prepare_data.on_bad_image: skip")
    assert "\n" not in message
    assert left_behind(tmp_path) == []


def test_stopping_names_three_of_all_bad_images(tmp_path: Path) -> None:
    names = save_colours(tmp_path, 40)
    for index in (3, 20, 21, 39):
        (tmp_path / names[index]).write_text("damaged")
    with pytest.raises(UserError) as caught:
        store(tmp_path, names)
    first, second, third = (tmp_path / names[index] for index in (3, 20, 21))
    assert str(caught.value) == (
        f"4 of 40 images cannot be read: {first} (not an image of a known format), {second}, "
        f"{third}; mend or delete them, or leave them out with prepare_data.on_bad_image: skip"
    )


def test_skipping_closes_the_rows_up(tmp_path: Path) -> None:
    names = save_colours(tmp_path, 40)
    for index in (0, 20, 21, 39):
        (tmp_path / names[index]).write_text("damaged")
    assert store(tmp_path, names, on_bad_image="skip") == [0, 20, 21, 39]
    stored = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert stored.shape == (36, 8, 8, 3)
    assert list(stored[:, 0, 0, 0]) == [i for i in range(40) if i not in (0, 20, 21, 39)]
    assert (tmp_path / "out.npy").stat().st_size == stored.offset + stored.nbytes
    assert left_behind(tmp_path) == ["out.npy"]


def test_skipping_every_image_is_refused(tmp_path: Path) -> None:
    names = save_colours(tmp_path, 2)
    for name in names:
        (tmp_path / name).write_text("damaged")
    with pytest.raises(UserError, match="2 of 2 images cannot be read"):
        store(tmp_path, names, on_bad_image="skip")


def test_a_failure_leaves_the_former_file_in_place(tmp_path: Path) -> None:
    names = save_colours(tmp_path, 2)
    store(tmp_path, names)
    before = (tmp_path / "out.npy").read_bytes()
    (tmp_path / names[0]).write_text("damaged")
    with pytest.raises(UserError):
        store(tmp_path, names)
    assert (tmp_path / "out.npy").read_bytes() == before


def test_too_little_room_on_the_disk_is_told_beforehand(tmp_path: Path) -> None:
    read = ImageFolderReader(tmp_path)
    with pytest.raises(UserError, match=r"the stored images need \d+\.\d GB, .* make room, or"):
        store_images(
            ["a.png"] * 1000, read, tmp_path / "out.npy", 10_000_000, "bilinear",
            work=tmp_path / "work", least_size=8, on_bad_image="stop", workers=1,
            on_progress=lambda done: None,
        )  # fmt: skip
    assert left_behind(tmp_path / "work") == left_behind(tmp_path) == []


def test_pillows_own_limit_is_as_before(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    store(tmp_path, save_colours(tmp_path, 1))
    assert before == Image.MAX_IMAGE_PIXELS
