"""Storing goes on where it ended: an unreadable image stands for whatever ended it."""

import logging
import os
import tempfile
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
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8)


def store(root: Path, read: Read | None = None, **options: Any) -> list[int]:
    options = {
        "paths": NAMES, "size": 8, "interpolation": "bilinear", "work": root / "work",
        "least_size": 8, "on_bad_image": "stop", "workers": 2, "on_progress": lambda done: None,
    } | options  # fmt: skip
    options = {"read": read or ImageFolderReader(root), "destination": root / "out.npy"} | options
    return store_images(**options)


def overwrite(path: Path, content: bytes = b"") -> None:
    """Other content, unreadable by default, of at least the former size, and the former time."""
    before = path.stat()
    path.write_bytes(content.ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def file_in_the_making(root: Path) -> Path:
    (path,) = (root / "work").glob("*.npy")
    return path


def finished(caplog: pytest.LogCaptureFixture) -> str:
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return next((line for line in lines if line.endswith("are finished")), "")


@pytest.fixture
def ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Path:
    """A run that ended with all images stored but one."""
    caplog.set_level(logging.INFO)
    for name, pixels in zip(NAMES, PIXELS, strict=True):
        Image.fromarray(pixels).save(tmp_path / name)
    good = (tmp_path / NAMES[BAD]).read_bytes()
    overwrite(tmp_path / NAMES[BAD])
    with pytest.raises(UserError, match="1 of 40 images cannot be read"):
        store(tmp_path)
    assert not (tmp_path / "out.npy").exists()
    (tmp_path / "good.png").write_bytes(good)
    caplog.clear()
    return tmp_path


def overwrite_finished(root: Path) -> None:
    for name in set(NAMES) - {NAMES[BAD]}:
        overwrite(root / name)


def test_only_what_is_not_finished_is_decoded(
    ended: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overwrite_finished(ended)
    overwrite(ended / NAMES[BAD], (ended / "good.png").read_bytes())
    steps: list[int] = []
    assert store(ended, on_progress=steps.append) == []
    np.testing.assert_array_equal(np.load(ended / "out.npy"), PIXELS)
    assert finished(caplog) == "prepare-data: 39 of 40 images are finished"
    assert steps == [39, 1]
    assert [path.name for path in (ended / "work").iterdir()] == ["lock"]


def test_what_is_still_unreadable_is_left_out(
    ended: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overwrite_finished(ended)
    assert store(ended, on_bad_image="skip") == [BAD]
    assert finished(caplog) == "prepare-data: 39 of 40 images are finished"
    np.testing.assert_array_equal(np.load(ended / "out.npy"), np.delete(PIXELS, BAD, axis=0))
    assert [path.name for path in (ended / "work").iterdir()] == ["lock"]


@pytest.mark.parametrize("changed", ["size", "paths", "reader", "Pillow"])
def test_other_work_begins_anew(
    ended: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    former = file_in_the_making(ended)
    options: dict[str, Any] = {
        "size": {"size": 16},
        "paths": {"paths": NAMES[::-1]},
        "reader": {"read": TwoFolderReader(ImageFolderReader(ended), ImageFolderReader(ended))},
    }.get(changed, {})
    if changed == "Pillow":
        monkeypatch.setattr(PIL, "__version__", "0.0")
    with pytest.raises(UserError, match="1 of 40 images cannot be read"):
        store(ended, **options)
    assert "begins anew, with other images, settings or code than before" in caplog.text
    assert finished(caplog) == ""
    assert file_in_the_making(ended) != former


@pytest.mark.parametrize("changed", ["size", "time", "gone"])
def test_an_image_whose_file_has_changed_is_decoded_again(
    ended: Path, caplog: pytest.LogCaptureFixture, changed: str
) -> None:
    path = ended / NAMES[5]
    if changed == "size":
        overwrite(path, path.read_bytes() + b"1")
    elif changed == "time":
        os.utime(path, (0, 0))
    else:
        path.unlink()
    with pytest.raises(UserError, match=f"{2 if changed == 'gone' else 1} of 40 images cannot"):
        store(ended)
    assert finished(caplog) == "prepare-data: 38 of 40 images are finished"


def test_source_images_are_followed_in_their_own_folder(
    ended: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (ended / "sources").mkdir()
    (ended / "sources" / "a.png").write_bytes((ended / NAMES[0]).read_bytes())
    read = TwoFolderReader(ImageFolderReader(ended), ImageFolderReader(ended / "sources"))
    paths = [*NAMES[BAD - 2 : BAD + 1], "source-validation/a.png"]
    for time, expected in (
        (1, ""),
        (1, "prepare-data: 3 of 4 images are finished"),
        (2, "prepare-data: 2 of 4 images are finished"),
    ):
        os.utime(ended / "sources" / "a.png", (time, time))
        with pytest.raises(UserError, match="1 of 4 images cannot be read"):
            store(ended, read, paths=paths)
        assert finished(caplog) == expected


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
    for time, expected in ((1, ""), (1, "prepare-data: 4 of 5 images are finished"), (2, "")):
        os.utime(tmp_path / "pixels", (time, time))
        with pytest.raises(UserError, match="1 of 5 images cannot be read"):
            store(tmp_path, RowReader(tmp_path), paths=paths)
        assert finished(caplog) == expected


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


@pytest.mark.parametrize("count", [COUNT, COUNT - 1])
def test_a_destination_that_cannot_be_written_costs_nothing(
    ended: Path, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    if count == COUNT:
        overwrite(ended / NAMES[BAD], (ended / "good.png").read_bytes())
    destination = ended / "good.png" / "out.npy"
    with pytest.raises(UserError, match=r"out.npy cannot be written \(.*exists\); make room"):
        store(ended, destination=destination, on_bad_image="skip")
    caplog.clear()
    store(ended, on_bad_image="skip")
    assert finished(caplog) == f"prepare-data: {count} of 40 images are finished"
    assert len(np.load(ended / "out.npy")) == count


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs another disk")
def test_the_destination_may_be_on_another_disk(ended: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        store(ended, paths=NAMES[:BAD], destination=Path(other) / "out.npy")
        np.testing.assert_array_equal(np.load(Path(other) / "out.npy"), PIXELS[:BAD])
    assert [path.name for path in (ended / "work").iterdir()] == ["lock"]


def test_two_calls_at_once_in_one_folder_are_refused(ended: Path) -> None:
    def call_again(done: int) -> None:
        with pytest.raises(UserError) as caught:
            store(ended, paths=NAMES[:1])
        assert str(caught.value) == (
            f"another process is storing images in {ended / 'work'}; wait until it ends, or end it"
        )

    assert store(ended, on_bad_image="skip", on_progress=call_again) == [BAD]
