import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import UserError
from pipeline.datasets.store.square_file import SquareFile

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 5, 5, 3), dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> SquareFile:
    """All rows, the last one first, by two writers in turn."""
    (tmp_path / "a.npy").touch()
    squares = SquareFile(tmp_path / "a.npy", len(PIXELS), 5)
    squares.lay_out(len(PIXELS))
    with squares.writer() as one, squares.writer() as other:
        for row in reversed(range(0, 12, 2)):
            one(row, PIXELS[row])
            other(row + 1, PIXELS[row + 1])
    return squares


def test_rows_are_where_numpy_looks_for_them(file: SquareFile) -> None:
    stored = np.load(file.path)
    np.testing.assert_array_equal(stored, PIXELS)
    assert stored.dtype == np.uint8


def test_any_rows_are_read_and_summed_up(file: SquareFile) -> None:
    rows = [7, 0, 11, 7]
    assert list(file.read(rows)) == [PIXELS[row].tobytes() for row in rows]
    assert file.checksums(rows) == [zlib.crc32(PIXELS[row].tobytes()) for row in rows]


@pytest.mark.parametrize("rows", [1, 9, 12])
def test_another_length_keeps_the_rows(file: SquareFile, rows: int) -> None:
    file.lay_out(rows)
    np.testing.assert_array_equal(np.load(file.path), PIXELS[:rows])
    file.lay_out(12)
    np.testing.assert_array_equal(np.load(file.path)[:rows], PIXELS[:rows])
    assert not np.load(file.path)[rows:].any()


@pytest.fixture
def little_room() -> Iterator[None]:
    """The system lets no file grow beyond 10 kB, with an error as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("little_room")
def test_a_file_that_cannot_grow_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.npy").touch()
    with pytest.raises(UserError) as caught:
        SquareFile(tmp_path / "a.npy", 200, 5).lay_out(200)
    assert str(caught.value) == (
        f"{tmp_path / 'a.npy'} cannot be written (File too large); make room on the disk, then "
        "run again to go on"
    )
