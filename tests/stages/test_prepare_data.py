"""The stage as a user runs it, killed where it hurts and run again."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets.store.partial import RECORD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

COUNT = 60
# As `cot stage prepare-data`, but with several processes for little work too, which many cores
# would finish before anything can be killed.
COT = """
import os, sys
from pipeline.datasets.store import partial, store_images
from stages.cli import main

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
store_images.POOL_SECONDS = partial.FLUSH_SECONDS = 0.0
sys.argv = ["cot", "stage", "prepare-data"]
main()
"""
PARAMS = """
seed: 0
source_model: {input_size: 32}
prepare_data: {source: image-folder, root: photos, stored_size: 36, images_per_class: null}
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A dozen photos of 15 megapixels, each several times: they take long to decode."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(12):
        noise = generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((4400, 3400)).save(folder / f"{number}.jpg")
    for name in ("cat", "dog"):
        (folder / name).mkdir()
    for index in range(COUNT):
        name = ("cat", "dog")[index % 2]
        shutil.copy(folder / f"{index % 11}.jpg", folder / name / f"{index}.jpg")
    return folder


def set_up(project, photos):
    for name in ("cat", "dog"):
        shutil.copytree(photos / name, project / "photos" / name)
    (project / "dvc.yaml").write_text("")
    (project / "params.yaml").write_text(PARAMS)


def start(project):
    return subprocess.Popen(
        [sys.executable, "-c", COT],
        cwd=project,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def outputs(project):
    folder = project / "data" / "prepare-data"
    return np.load(folder / "images.npy"), (folder / "manifest.csv").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, photos, empty_database):
    """What a run writes that nothing ended."""
    project = tmp_path_factory.mktemp("whole")
    shutil.copy(empty_database, project / "mlflow.db")
    set_up(project, photos)
    process = start(project)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return outputs(project)


def wait_for(condition):
    for _ in range(1200):
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError("it should have happened by now")


def workers_of(process):
    """Not the helper of multiprocessing that watches over shared memory."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in command_of(child)]


def command_of(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


def finished_rows(project):
    records = [np.fromfile(path, RECORD) for path in project.glob(".work/prepare-data/*.record")]
    return np.flatnonzero(records[0]["finished"]) if records else np.array([])


def ruin(path):
    """Unreadable content, with the size and the time of the last change as they were."""
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_killed_run_is_gone_on_with(project, photos, whole):
    set_up(project, photos)
    process = start(project)
    # Some of them by the workers: the parent alone begins with 16.
    wait_for(lambda: len(finished_rows(project)) > 16)
    workers = workers_of(process)
    assert len(workers) >= 2
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(map(command_of, workers)))
    assert not list((project / "data").rglob("*.npy"))

    rows = finished_rows(project)
    assert 16 < len(rows) < COUNT
    paths = [line.split(",")[-1] for line in whole[1].splitlines()[1:]]
    for row in rows:
        ruin(project / "photos" / paths[row])
    process = start(project)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert re.search(rf"{len(rows)} of {COUNT} images are finished", errors)
    images, manifest = outputs(project)
    np.testing.assert_array_equal(images, whole[0])
    assert manifest == whole[1]
