import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.common.files import content_hash, write_aside
from pipeline.common.processes import unfinished


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.json"
    with write_aside(path) as aside:
        aside.write_text("whole")
        assert not path.exists()
        assert (aside.parent, aside.suffix) == (path.parent, ".json")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_everybody_may_read_the_file(tmp_path: Path) -> None:
    with write_aside(tmp_path / "a.txt") as aside:
        aside.write_text("whole")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with write_aside(path) as aside:
            aside.write_text("half of the n")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with write_aside(path) as first:
        with write_aside(path) as second:
            first.write_text("first")
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"a\r\nb\n", bytes(range(256)) * 8192])
def test_the_hash_is_md5_of_the_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    assert content_hash(tmp_path / "a.bin") == hashlib.md5(content).hexdigest()


def test_what_a_killed_process_had_in_the_making_is_found(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").touch()
    path = tmp_path / "folder" / "a.png"
    killed = (
        "import os, sys; from pathlib import Path; from pipeline.common.files import write_aside\n"
        "with write_aside(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", killed, path], check=False)
    with write_aside(path) as aside:
        (left,) = unfinished(tmp_path)
        assert left != aside
        assert (left.parent, left.suffix) == (path.parent, ".png")
