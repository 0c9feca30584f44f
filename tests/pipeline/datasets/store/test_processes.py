"""Processes that are ended from outside, and what one process takes in memory.

A process under test says when it has come to the moment of interest, and stays there.
"""

import os
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.processes

# A script, since workers import what they run by name.
STORE = """
import logging, multiprocessing, os, signal, sys, threading
from pathlib import Path
from PIL import Image
from pipeline.datasets.store import store_images

tried_by_worker = 0

class Reader:
    def __call__(self, path):
        global tried_by_worker
        tried_by_worker += multiprocessing.parent_process() is not None
        if tried_by_worker == 2 and sys.argv[1] == "stay":
            os.write(1, b"at work\\n")  # whole, though the workers share it
            threading.Event().wait()
        if tried_by_worker == 2 and sys.argv[1] == "be killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return Image.new("RGB", (4, 4), (int(path), 0, 0))

    def locate(self, path):
        return path

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    store_images.POOL_SECONDS = 0.0
    store_images.store_images(
        [str(number) for number in range(60)], Reader(), Path("out.npy"), 8, "bilinear",
        work=Path("work"), least_size=8, on_bad_image="stop", workers=2,
        on_progress=lambda done: None,
    )
"""


def start(root: Path, what: str) -> subprocess.Popen[str]:
    (root / "store.py").write_text(STORE)
    return subprocess.Popen(
        [sys.executable, "store.py", what],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    """What it wrote about errors, once it and all workers, which share its output, are gone."""
    try:
        return process.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
@pytest.mark.parametrize("how", ["kill -9", "Ctrl-C"])
def test_a_run_that_is_ended_takes_its_workers_along_and_loses_what_they_are_at(
    tmp_path: Path, how: str
) -> None:
    process = start(tmp_path, "stay")
    assert process.stdout is not None
    assert [process.stdout.readline() for worker in range(2)] == ["at work\n"] * 2
    if how == "kill -9":
        process.kill()
        end(process)
    else:
        os.killpg(process.pid, signal.SIGINT)
        errors = end(process)
        assert errors.splitlines()[-1] == "KeyboardInterrupt"
        assert errors.count("Traceback") == 1
    assert not (tmp_path / "out.npy").exists()

    # A chunk by the parent, an image by each worker.
    assert end(start(tmp_path, "go on")) == "prepare-data: 18 of 60 images are finished\n"
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy")[:, 4, 4, 0], range(60))


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_worker_is_explained(tmp_path: Path) -> None:
    errors = end(start(tmp_path, "be killed"))
    assert errors.splitlines()[-1].endswith(
        "UserError: a process that decoded images ended early, most often killed for lack of "
        "memory; close other programs or shrink the largest images, then run again to go on"
    )
    assert not (tmp_path / "out.npy").exists()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_large_png(path: Path, width: int, height: int) -> None:
    """Half transparent red; the same compressed row again and again, for speed."""
    row = b"\0" + b"\xff\x00\x00\x80" * width
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = packer.compress(row) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(height):
        checksum = zlib.adler32(row, checksum)
    data = b"\x78\x01" + packed * height + b"\x03\x00" + struct.pack(">I", checksum)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


# Not ru_maxrss: a child that was started by vfork begins with the peak of its parent.
PEAK_MEMORY = r"""
import re, sys
from pathlib import Path
from PIL import Image
from pipeline.datasets.listing import ImageFolderReader
from pipeline.datasets.store.store_images import store_images

class DrawingReader(ImageFolderReader):
    def __call__(self, path):
        return Image.new("RGB", (256, 256), (int(path) % 256, 0, 0))

paths, read, size = {
    "large": (["a.png"], ImageFolderReader(Path()), 72),
    "many": (["bad", *map(str, range(1500))], DrawingReader(Path()), 256),
}[sys.argv[1]]
store_images(
    paths, read, Path("out.npy"), size, "bilinear", work=Path("work"), least_size=8,
    on_bad_image="skip", workers=1, on_progress=lambda done: None,
)
status = Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024)
"""


def peak_memory(root: Path, what: str) -> int:
    """Bytes that a process took which stored one large image or many small ones."""
    command = [sys.executable, "-W", "error", "-c", PEAK_MEMORY, what]
    return int(subprocess.run(command, cwd=root, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_transparent_image_is_in_memory_once(tmp_path: Path) -> None:
    write_large_png(tmp_path / "a.png", 10_000, 10_000)
    assert peak_memory(tmp_path, "large") < 700e6
    stored = np.load(tmp_path / "out.npy")
    assert np.abs(stored.astype(int) - (255, 127, 127)).max() <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_images_take_no_more_memory_than_few(tmp_path: Path) -> None:
    assert peak_memory(tmp_path, "many") < 200e6
    assert (tmp_path / "out.npy").stat().st_size > 290e6
