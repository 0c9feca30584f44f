"""Storing goes on where it ended: an unreadable image stands for whatever ended it."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image
from torchvision_layouts import BUILDERS

from pipeline.common.errors import UserError
from pipeline.datasets.listing import ImageFolderReader, Read
from pipeline.datasets.readers.registry import list_source
from pipeline.datasets.readers.source_validation import TwoFolderReader
from pipeline.datasets.store.store_images import store_images

COUNT, BAD = 40, 17
NAMES = [f"{index:02}.png" for index in range(COUNT)]


def store(root: Path, read: Read | None = None, **options: Any) -> list[int]:
    options = {
        "paths": NAMES, "size": 8, "work": root / "work", "least_size": 8,
        "on_bad_image": "stop", "workers": 2, "on_progress": lambda done: None,
    } | options  # fmt: skip
    options = {"read": read or ImageFolderReader(root), "destination": root / "out.npy"} | options
    return store_images(**options)


def draw(root: Path, index: int, seed: int = 0) -> None:
    generator = np.random.default_rng([index, seed])
    pixels = generator.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / NAMES[index])


def ruin(path: Path) -> None:
    """Unreadable content, with the size and the time of the last change as they were."""
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def ruin_all(root: Path, *but: int) -> None:
    for index in set(range(COUNT)) - set(but):
        ruin(root / NAMES[index])


def partial_file(root: Path) -> Path:
    (path,) = (root / "work").glob("*.npy")
    return path


def finished(caplog: pytest.LogCaptureFixture) -> str:
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return next((line for line in lines if line.endswith("are finished")), "")


@pytest.fixture
def whole(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """What a run stores that nothing ended."""
    root = tmp_path_factory.mktemp("whole")
    for index in range(COUNT):
        draw(root, index)
    store(root)
    return np.load(root / "out.npy")


@pytest.fixture
def ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Path:
    """A run that ended with all images stored but one, which is mended since."""
    caplog.set_level(logging.INFO)
    for index in range(COUNT):
        draw(tmp_path, index)
    (tmp_path / NAMES[BAD]).write_text("damaged")
    with pytest.raises(UserError, match="1 of 40 images cannot be read"):
        store(tmp_path)
    assert not (tmp_path / "out.npy").exists()
    draw(tmp_path, BAD)
    caplog.clear()
    return tmp_path


def test_finished_images_are_not_decoded_again(
    ended: Path, whole: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    ruin_all(ended, BAD)
    steps: list[int] = []
    assert store(ended, on_progress=steps.append) == []
    np.testing.assert_array_equal(np.load(ended / "out.npy"), whole)
    assert finished(caplog) == "prepare-data: 39 of 40 images are finished"
    assert steps == [39, 1]
    assert [path.name for path in (ended / "work").iterdir()] == ["lock"]


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_changed_image_is_decoded_again(
    ended: Path, whole: np.ndarray, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    if change == "content":
        draw(ended, 5, seed=1)
    else:
        os.utime(ended / NAMES[5], (0, 0))
    ruin_all(ended, 5, BAD)
    store(ended)
    same = (np.load(ended / "out.npy") == whole).all(axis=(1, 2, 3))
    assert list(np.flatnonzero(~same)) == ([5] if change == "content" else [])
    assert finished(caplog) == "prepare-data: 38 of 40 images are finished"


def test_a_finished_image_that_is_gone_is_missed(ended: Path) -> None:
    (ended / NAMES[5]).unlink()
    with pytest.raises(UserError, match=f"1 of 40 .*{NAMES[5]} .No such file"):
        store(ended)


def test_what_the_disk_changed_is_named_and_decoded_again_alone(
    ended: Path, whole: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    with partial_file(ended).open("r+b") as file:
        file.seek(-(COUNT - 5) * 8 * 8 * 3, os.SEEK_END)
        file.write(bytes([whole[5, 0, 0, 0] ^ 1]))
    ruin_all(ended, 5, BAD)
    with pytest.raises(UserError) as caught:
        store(ended)
    assert str(caught.value) == (
        f"1 of 40 stored images are not what was decoded: {ended / NAMES[5]}; the disk or the "
        "memory may be faulty, or another program wrote into the file; run again to decode these "
        "anew"
    )
    assert not (ended / "out.npy").exists()
    assert finished(caplog) == "prepare-data: 39 of 40 images are finished"
    ruin(ended / NAMES[BAD])
    store(ended)
    assert finished(caplog) == "prepare-data: 39 of 40 images are finished"
    np.testing.assert_array_equal(np.load(ended / "out.npy"), whole)


def test_unreadable_images_are_tried_again_and_left_out(
    ended: Path, whole: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    (ended / NAMES[BAD]).write_text("damaged")
    ruin_all(ended, BAD)
    assert store(ended, on_bad_image="skip") == [BAD]
    assert finished(caplog) == "prepare-data: 39 of 40 images are finished"
    np.testing.assert_array_equal(np.load(ended / "out.npy"), np.delete(whole, BAD, axis=0))


@pytest.mark.parametrize("changed", ["size", "paths", "reader", "Pillow"])
def test_other_work_begins_anew(
    ended: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    former = partial_file(ended)
    options: dict[str, Any] = {
        "size": {"size": 16},
        "paths": {"paths": NAMES[::-1]},
        "reader": {"read": TwoFolderReader(ImageFolderReader(ended), ImageFolderReader(ended))},
    }.get(changed, {})
    if changed == "Pillow":
        monkeypatch.setattr(PIL, "__version__", "0.0")
    (ended / NAMES[0]).write_text("damaged")
    with pytest.raises(UserError, match="1 of 40 images cannot be read"):
        store(ended, **options)
    assert finished(caplog) == ""
    assert partial_file(ended) != former


def test_source_images_are_followed_in_their_own_folder(
    ended: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (ended / "sources").mkdir()
    for name in NAMES[:4]:
        (ended / "sources" / name).write_bytes((ended / name).read_bytes())
    read = TwoFolderReader(ImageFolderReader(ended), ImageFolderReader(ended / "sources"))
    paths = [*NAMES[:4], *(f"source-validation/{name}" for name in NAMES[:4])]
    (ended / NAMES[0]).write_text("damaged")
    with pytest.raises(UserError):
        store(ended, read, paths=paths)
    draw(ended, 0)
    os.utime(ended / "sources" / NAMES[2], (0, 0))
    ruin(ended / "sources" / NAMES[3])
    store(ended, read, paths=paths)
    assert finished(caplog) == "prepare-data: 6 of 8 images are finished"


class RowReader(ImageFolderReader):
    """Images that lie one after the other in a file, as those of Fashion-MNIST do."""

    def __call__(self, path: str) -> Image.Image:
        name, _, index = path.rpartition("#")
        pixels = (self.root / name).read_bytes()[int(index) * 64 :][:64]
        return Image.frombytes("L", (8, 8), pixels)


def test_images_of_one_file_are_followed_by_that_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "pixels").write_bytes(bytes(range(64)) * 4)
    paths = [f"pixels#{index}" for index in range(5)]
    for count in ("", "4 of 5", ""):
        with pytest.raises(UserError, match="1 of 5 images cannot be read"):
            store(tmp_path, RowReader(tmp_path), paths=paths)
        assert finished(caplog) == (count and f"prepare-data: {count} images are finished")
        if count:
            os.utime(tmp_path / "pixels", (0, 0))


def test_images_of_an_array_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    BUILDERS["CIFAR10"](tmp_path, monkeypatch)
    listing = list_source("CIFAR10", tmp_path, "any")
    paths = [*listing.samples["path"], "cifar-10-batches-py/test#9"]
    with pytest.raises(UserError, match="1 of 55"):
        store(tmp_path, listing.read, paths=paths)
    assert store(tmp_path, listing.read, paths=paths, on_bad_image="skip") == [54]
    assert finished(caplog) == "prepare-data: 54 of 55 images are finished"
    expected = [np.asarray(listing.read(path).resize((8, 8), 2)) for path in paths[:54]]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)
