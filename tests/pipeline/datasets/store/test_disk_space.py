import shutil
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.datasets.store import disk_space
from pipeline.datasets.store.disk_space import check_room, largest_fitting, stored_bytes, taken_room


def refusal(patch: pytest.MonkeyPatch, folder: Path, free: int, **options: int) -> str:
    """What is said where 70,000 images of 256 pixels, 13.8 GB, do not fit."""
    usage = shutil.disk_usage(folder)._replace(free=free)
    patch.setattr(disk_space, "disk_usage", lambda folder: usage)
    options = {"taken": 0, "count": 70_000, "size": 256, "least_size": 64} | options
    with pytest.raises(UserError) as caught:
        check_room(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(folder), "folder")


def test_a_full_disk_gets_the_largest_size_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(monkeypatch, tmp_path, 10_000_000_000) == (
        "the stored images need 13.8 GB, and folder has 10.0 GB free; make room, or lower "
        "prepare_data.stored_size to 216 (9.8 GB) or images_per_class"
    )


def test_what_is_written_already_counts_as_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(monkeypatch, tmp_path, 8_000_000_000, taken=2_000_000_000) == (
        "the stored images need 13.8 GB, of which 2.0 GB are written, and folder has 8.0 GB free; "
        "make room, or lower prepare_data.stored_size to 216 (9.8 GB) or images_per_class"
    )
    check_room(tmp_path, 6_000_000_000, 70_000, 256, 64)


def test_no_size_below_the_network_input_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refusal(monkeypatch, tmp_path, 10_000_000_000, least_size=224)
    assert message.endswith(
        "make room, or lower prepare_data.images_per_class (no stored_size fits that holds "
        "source_model.input_size 224)"
    )


@pytest.mark.parametrize("count", [1, 1000, 70_000])
@pytest.mark.parametrize("free", [0, 10**6, 10**9, 10**10 + 7])
def test_no_larger_step_would_fit(count: int, free: int) -> None:
    size = largest_fitting(free, count)
    assert size % 8 == 0
    assert stored_bytes(count, size) <= free < stored_bytes(count, size + 8)


def test_holes_take_no_room(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(10**12)
        file.write(b"x" * 10**6)
    assert 10**6 <= taken_room(tmp_path / "a") < 10**7
    assert taken_room(tmp_path / "absent") == 0
