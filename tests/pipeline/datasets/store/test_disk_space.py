import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.datasets.store import disk_space
from pipeline.datasets.store.disk_space import (
    check_room,
    copy_rows,
    largest_fitting,
    lay_out,
    stored_bytes,
    writing,
)


def refusal(patch: pytest.MonkeyPatch, folder: Path, least_size: int) -> str:
    """What is said where 70,000 images of 256 pixels, 13.8 GB, do not fit."""
    usage = shutil.disk_usage(folder)._replace(free=10_000_000_000)
    patch.setattr(disk_space, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError) as caught:
        check_room(folder, 70_000, 256, least_size)
    return str(caught.value).replace(str(folder), "folder")


def test_a_full_disk_gets_the_largest_size_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(monkeypatch, tmp_path, 64) == (
        "the stored images need 13.8 GB, and folder has 10.0 GB free; make room, or lower "
        "prepare_data.stored_size to 216 (9.8 GB) or images_per_class"
    )
    check_room(tmp_path, 70_000, 216, 64)


def test_no_size_below_the_network_input_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(monkeypatch, tmp_path, 224) == (
        "the stored images need 13.8 GB, and folder has 10.0 GB free; make room, or lower "
        "prepare_data.images_per_class (no stored_size fits that holds "
        "source_model.input_size 224)"
    )


@pytest.mark.parametrize("count", [1, 1000, 70_000])
@pytest.mark.parametrize("free", [0, 10**6, 10**9, 10**10 + 7])
def test_no_larger_step_would_fit(count: int, free: int) -> None:
    size = largest_fitting(free, count)
    assert size % 8 == 0
    assert stored_bytes(count, size) <= free < stored_bytes(count, size + 8)


@pytest.mark.parametrize("by", ["the system", "writing zeros"])
def test_a_file_has_no_holes_and_is_as_numpy_saves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "writing zeros":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    lay_out(tmp_path / "a.npy", 1000, 30)
    np.save(tmp_path / "b.npy", np.zeros((1000, 30, 30, 3), np.uint8))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    state = (tmp_path / "a.npy").stat()
    assert state.st_blocks * 512 >= state.st_size


def test_some_rows_are_copied_in_their_order(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    rows = np.delete(np.arange(100), [0, 17, 18, 99])
    copy_rows(tmp_path / "a.npy", rows, tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", pixels[rows])
    assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "c.npy").read_bytes()


def test_a_file_that_cannot_grow_is_told(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system lets no file grow beyond 10 kB, with an error as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(UserError) as caught, writing(tmp_path / "a.npy"):
            lay_out(tmp_path / "a.npy", 200, 5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == (
        f"{tmp_path / 'a.npy'} cannot be written (File too large); make room there, then run "
        "again to go on"
    )
