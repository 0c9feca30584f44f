"""Processes that are ended from outside, and what one process takes in memory."""

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.processes import is_alive

# A script, since workers import what they run by name.
SLOW_STORE = """
import multiprocessing, os, signal, sys, time
from pathlib import Path
from PIL import Image
from pipeline.datasets.store import store_images

class SlowReader:
    def __call__(self, path):
        if multiprocessing.parent_process() is not None:
            Path(f"worker-{os.getpid()}").touch()
            if sys.argv[1] == "killed-worker":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.05)
        return Image.new("RGB", (4, 4))

    def locate(self, path):
        return path

if __name__ == "__main__":
    store_images.POOL_SECONDS = 0.0
    store_images.store_images(
        ["x"] * 2000, SlowReader(), Path("out.npy"), 8, work=Path("work"), least_size=8,
        on_bad_image="skip", workers=2, on_progress=lambda done: None,
    )
"""


def start_slow_store(root: Path, *arguments: str) -> subprocess.Popen[str]:
    (root / "slow.py").write_text(SLOW_STORE)
    return subprocess.Popen(
        [sys.executable, "slow.py", *arguments],
        cwd=root,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_workers(root: Path) -> list[int]:
    for _ in range(300):
        found = [int(path.name.removeprefix("worker-")) for path in root.glob("worker-*")]
        if len(found) == 2:
            return found
        time.sleep(0.05)
    raise TimeoutError("two workers should be at work by now")


def wait_for_end(processes: list[int]) -> None:
    for _ in range(100):
        if not any(map(is_alive, processes)):
            return
        time.sleep(0.05)
    raise TimeoutError("a worker lives on")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_control_c_leaves_neither_workers_nor_a_file(tmp_path: Path) -> None:
    process = start_slow_store(tmp_path, "slow")
    workers = wait_for_workers(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    wait_for_end(workers)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert errors.count("Traceback") == 1
    assert left_behind(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    process = start_slow_store(tmp_path, "slow")
    workers = wait_for_workers(tmp_path)
    process.kill()
    process.communicate(timeout=10)
    wait_for_end(workers)


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_worker_is_explained(tmp_path: Path) -> None:
    process = start_slow_store(tmp_path, "killed-worker")
    _, errors = process.communicate(timeout=20)
    assert "a process that decoded images ended early, most often killed for lack" in errors
    assert left_behind(tmp_path) == []


def left_behind(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.suffix == ".npy")


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
import re
from pathlib import Path
from pipeline.datasets.store.store_images import store_images
from pipeline.datasets.readers.registry import ImageFolderReader

root = Path.cwd()
store_images(
    ["a.png"], ImageFolderReader(root), root / "out.npy", 72, work=root / "work", least_size=8,
    on_bad_image="stop", workers=1, on_progress=lambda done: None,
)
status = Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_170_transparent_megapixels_fit_into_two_gigabytes(tmp_path: Path) -> None:
    write_large_png(tmp_path / "a.png", 13_000, 13_077)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PEAK_MEMORY],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) < 2e9
    stored = np.load(tmp_path / "out.npy")
    assert np.abs(stored.astype(int) - (255, 127, 127)).max() <= 1
