"""Images per second and core, memory and disk of storing images, against a bare decode and resize.

    python benchmarks/store_images.py [--images 20000] [--stored-size 256] [--rounds 3]

JPEGs of 500 x 375 are drawn into a temporary folder, which is removed at the end. In each round a
fifth of them goes through Pillow alone and through store_images in one process, then all of them
through store_images on all cores; the medians of the rounds are printed. Reads /proc.
"""

import argparse
import functools
import logging
import multiprocessing
import os
import re
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets.listing import ImageFolderReader
from pipeline.datasets.store import store_images

WIDTH, HEIGHT, QUALITY = 500, 375, 84
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Measured:
    """Wall and CPU seconds; peak memory in bytes."""

    seconds: float
    processor: float
    parent: int
    worker: int

    def rate(self, count: int, cores: int) -> float:
        return count / self.seconds / cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--stored-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="store-images-"))
    try:
        measure(folder, options.images, options.stored_size, options.rounds)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, count: int, size: int, rounds: int) -> None:
    names = draw_images(folder, count)
    total = sum((folder / name).stat().st_size for name in names)
    print(f"{count} JPEGs of {WIDTH} x {HEIGHT}, {total / count / 1e3:.0f} kB each, {CORES} cores")
    part = count // 5
    bare, alone, together = [], [], []
    for turn in range(rounds):
        some = names[turn % 5 * part :][:part]
        bare.append(in_process(decode_bare, folder, some, size))
        alone.append(in_process(store, folder, some, size, 1))
        check(folder, some, size)
        together.append(in_process(store, folder, names, size, CORES))
        check(folder, names, size)
    few = in_process(store, folder, names[: count // 10], size, CORES)
    report("bare decode and resize", bare, bare, part, part, 1)
    report("store_images, 1 process", alone, bare, part, part, 1)
    report(f"store_images, {CORES} processes", together, bare, count, part, CORES)
    many = together[-1]
    for number, run in ((count // 10, few), (count, many)):
        print(
            f"{number:6} images: peak memory (VmHWM) {run.parent / 1e6:.0f} MB in the parent, "
            f"{run.worker / 1e6:.0f} MB in the largest worker"
        )
    stored = count * size * size * 3
    print(f"stored {stored / 1e9:.2f} GB, {stored / total:.1f} times the JPEGs")


def report(
    name: str, runs: list[Measured], bare: list[Measured], count: int, part: int, cores: int
) -> None:
    """Print median rates, and what an image costs as a multiple of the bare decode."""
    rate = statistics.median(run.rate(count, cores) for run in runs)
    pairs = list(zip(runs, bare, strict=True))
    wall = [other.rate(part, 1) / run.rate(count, cores) for run, other in pairs]
    processor = [run.processor / count / (other.processor / part) for run, other in pairs]
    print(
        f"{name:27} {rate:6.1f} images/s a core; per image and core {statistics.median(wall):.3f} "
        f"({min(wall):.3f} to {max(wall):.3f}) of the bare wall time, "
        f"{statistics.median(processor):.3f} ({min(processor):.3f} to {max(processor):.3f}) of "
        "its CPU time"
    )


def decode_bare(folder: Path, names: list[str], size: int) -> None:
    for name in names:
        with Image.open(folder / name) as image:
            np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def store(folder: Path, names: list[str], size: int, workers: int) -> None:
    store_images.POOL_SECONDS = 0.0
    store_images.store_images(
        names, ImageFolderReader(folder), folder / "images.npy", size, "bilinear",
        work=folder / "work", least_size=8, on_bad_image="stop", workers=workers,
        on_progress=lambda done: None,
    )  # fmt: skip


def check(folder: Path, names: list[str], size: int) -> None:
    stored = np.load(folder / "images.npy", mmap_mode="r")
    for row in range(0, len(names), max(1, len(names) // 20)):
        with Image.open(folder / names[row]) as image:
            square = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(stored[row].astype(int), np.asarray(square), atol=1)
    (folder / "images.npy").unlink()


def in_process(work: Callable[..., None], *arguments: object) -> Measured:
    """Measure in a fresh process, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, arguments).result()


def _measured(work: Callable[..., None], arguments: tuple[object, ...]) -> Measured:
    peaks: dict[int, int] = {}
    ended = threading.Event()
    watch = threading.Thread(target=_watch_workers, args=(peaks, ended))
    watch.start()
    began, processor = time.perf_counter(), os.times()
    work(*arguments)
    seconds, spent = time.perf_counter() - began, os.times()
    ended.set()
    watch.join()
    processor_seconds = sum(spent[:4]) - sum(processor[:4])
    return Measured(seconds, processor_seconds, _peak(os.getpid()), max(peaks.values(), default=0))


def _watch_workers(peaks: dict[int, int], ended: threading.Event) -> None:
    while not ended.wait(0.1):
        for child in multiprocessing.active_children():
            if child.pid is not None:  # it may have ended
                peaks[child.pid] = _peak(child.pid) or peaks.get(child.pid, 0)


def _peak(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def draw_images(folder: Path, count: int) -> list[str]:
    names = [f"{index:06}.jpg" for index in range(count)]
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(functools.partial(draw_image, folder), names, chunksize=50))
    return names


def draw_image(folder: Path, name: str) -> None:
    """Smooth fields of several sizes with a texture of fine noise, as photographs have."""
    generator = np.random.default_rng(int(name.partition(".")[0]))
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells, strength in ((3, 70), (12, 35), (50, 18), (160, 9)):
        field = generator.normal(0, strength, (cells * 3 // 4, cells, 3))
        coarse = Image.fromarray(field.clip(-127, 127).astype(np.int8).view(np.uint8) ^ 128)
        pixels += np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) - 128.0
    pixels += generator.normal(0, 6, (HEIGHT, WIDTH, 1))
    image = Image.fromarray((pixels + 128).clip(0, 255).astype(np.uint8))
    image.save(folder / name, quality=QUALITY)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main()
