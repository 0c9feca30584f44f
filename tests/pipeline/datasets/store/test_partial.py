import logging
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.datasets.store.partial import RECORD, FileState, Partial, Written, open_partial
from pipeline.datasets.store.square_file import SquareFile

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
STATE = FileState(100, 7)


def fill(partial: Partial, rows: Sequence[int], source: FileState | None = STATE) -> None:
    with partial.squares.writer() as write:
        for row in rows:
            write(row, PIXELS[row])
    partial.add([Written(row, zlib.crc32(PIXELS[row].tobytes()), source) for row in rows])


def begin(folder: Path, rows: Sequence[int] = (), source: FileState | None = STATE) -> Partial:
    partial = Partial(folder, "key", len(PIXELS), 4)
    fill(partial, rows, source)
    partial.flush()
    return partial


def finished(partial: Partial) -> list[int]:
    return list(map(int, partial.finished))


def test_what_is_finished_is_known_to_the_next_process(tmp_path: Path) -> None:
    begin(tmp_path, [1, 2, 7])
    again = begin(tmp_path)
    assert finished(again) == [1, 2, 7]
    fill(again, [0, 3, 4, 5, 6, 8, 9])
    again.flush()
    assert len(again.differing(again.close_up(), 2)) == 0
    again.move(tmp_path / "out" / "images.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "images.npy"), PIXELS)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_rows_are_marked_once_their_pixels_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[int] = []
    sync = SquareFile.sync

    def observed(squares: SquareFile) -> None:
        record = np.fromfile(tmp_path / "key.record", RECORD)
        marked.append(int(record["finished"].sum()))
        sync(squares)

    monkeypatch.setattr(SquareFile, "sync", observed)
    partial = begin(tmp_path, [0, 1, 2])
    fill(partial, [3, 4])
    partial.flush()
    assert marked == [0, 3]
    assert np.fromfile(tmp_path / "key.record", RECORD)["finished"].sum() == 5


@pytest.mark.parametrize("damage", ["squares", "record", "short record"])
def test_one_file_without_the_other_is_no_beginning(tmp_path: Path, damage: str) -> None:
    begin(tmp_path, [1, 2, 7])
    if damage == "squares":
        (tmp_path / "key.npy").unlink()
    elif damage == "record":
        (tmp_path / "key.record").unlink()
    else:
        (tmp_path / "key.record").write_bytes((tmp_path / "key.record").read_bytes()[:-1])
    assert finished(begin(tmp_path)) == []


def test_rows_of_changed_files_are_forgotten(tmp_path: Path) -> None:
    partial = begin(tmp_path, range(5))
    now = [STATE, FileState(101, 7), FileState(100, 8), None, STATE]
    partial.forget_changed(lambda row: now[row])
    assert finished(partial) == [0, 4]
    assert finished(begin(tmp_path)) == [0, 4]


def test_rows_that_come_from_no_file_stay(tmp_path: Path) -> None:
    partial = begin(tmp_path, [3, 4], None)
    partial.forget_changed(lambda row: None)
    assert finished(partial) == [3, 4]
    partial.forget_changed(lambda row: STATE if row == 3 else None)
    assert finished(partial) == [4]


def test_pixels_that_changed_on_the_disk_are_found(tmp_path: Path) -> None:
    partial = begin(tmp_path, range(10))
    with (tmp_path / "key.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(bytes([PIXELS[9, 3, 3, 2] ^ 1]))
    assert list(partial.differing(partial.close_up(), 2)) == [9]


def test_a_destination_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    partial = begin(tmp_path, range(10))
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(UserError, match=r"images.npy cannot be written \(.*exists\)"):
        partial.move(tmp_path / "out" / "images.npy")
    assert finished(begin(tmp_path)) == list(range(10))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs another disk")
def test_the_destination_may_be_on_another_disk(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as work:
        partial = begin(Path(work), range(10))
        partial.move(tmp_path / "images.npy")
        assert not list(Path(work).iterdir())
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), PIXELS)


@pytest.mark.parametrize("rows", [[0, 1, 3, 5, 6, 9], [1, 2, 3], [9], [0, 1, 2, 3]])
def test_closing_up_keeps_the_order_and_the_checksums(tmp_path: Path, rows: list[int]) -> None:
    partial = begin(tmp_path, rows)
    assert list(partial.close_up()) == rows
    assert list(partial.differing(np.array(rows), 1)) == []
    np.testing.assert_array_equal(np.load(tmp_path / "key.npy"), PIXELS[rows])
    # As after a kill before the file was moved.
    stayed = [row for place, row in enumerate(rows) if place == row]
    again = begin(tmp_path)
    assert finished(again) == stayed
    fill(again, [row for row in rows if row not in stayed])
    again.flush()
    again.close_up()
    np.testing.assert_array_equal(np.load(tmp_path / "key.npy"), PIXELS[rows])


def test_what_belongs_to_another_key_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_partial(tmp_path, "old", 10, 4, 4) as partial:
        fill(partial, [0, 1])
    with caplog.at_level(logging.INFO), open_partial(tmp_path, "new", 10, 4, 4) as partial:
        assert finished(partial) == []
    assert "removed 0.0 GB left by a run that did not end" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "new.npy", "new.record"]


def test_an_error_keeps_what_was_added_before(tmp_path: Path) -> None:
    def interrupted() -> None:
        with open_partial(tmp_path, "key", 10, 4, 4) as partial:
            fill(partial, [0, 1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert finished(begin(tmp_path)) == [0, 1]


HOLD = """
import sys
from pathlib import Path
from pipeline.datasets.store.partial import open_partial

with open_partial(Path(sys.argv[1]), "key", 10, 4, 4):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_the_folder_is_of_one_process_at_a_time(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(UserError) as caught, open_partial(tmp_path, "other", 10, 4, 4):
            pass
        assert (tmp_path / "key.npy").exists()
    finally:
        other.kill()
        other.communicate()
    assert str(caught.value) == (
        f"another process is storing images in {tmp_path}; wait until it ends, or end it"
    )
    with open_partial(tmp_path, "other", 10, 4, 4) as partial:
        assert finished(partial) == []
