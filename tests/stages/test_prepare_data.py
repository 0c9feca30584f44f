"""The stage as a user runs it, killed amid its work and run again."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

COUNT, FINISHED = 24, 19
# `cot stage prepare-data`, which after so many images says that it has come to the next, and stays.
COT = """
import os, sys, threading
from pipeline.datasets.listing import ImageFolderReader
from stages.cli import main

most, read, opened = int(sys.argv[1]), ImageFolderReader.__call__, []

def read_and_stay(reader, path):
    opened.append(path)
    if len(opened) > most:
        os.write(1, b"at work\\n")
        threading.Event().wait()
    return read(reader, path)

ImageFolderReader.__call__ = read_and_stay
sys.argv = ["cot", "stage", "prepare-data"]
main()
"""
PARAMS = """
seed: 0
source_model: {input_size: 32}
prepare_data: {source: image-folder, root: photos, stored_size: 36, images_per_class: null}
"""


def start(project, images):
    return subprocess.Popen(
        [sys.executable, "-c", COT, str(images)],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.processes
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_run_is_gone_on_with(project):
    generator = np.random.default_rng(0)
    squares = {}
    for index in range(COUNT):
        name = f"{('cat', 'dog')[index % 2]}/{index}.png"
        (project / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (36, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(project / "photos" / name)
        squares[name] = pixels
    (project / "dvc.yaml").write_text("")
    (project / "params.yaml").write_text(PARAMS)

    process = start(project, FINISHED)
    assert "at work\n" in iter(process.stdout.readline, "")
    process.kill()
    process.communicate()
    assert not list((project / "data").rglob("*.npy"))

    process = start(project, COUNT - FINISHED)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"{FINISHED} of {COUNT} images are finished" in errors
    images = np.load(project / "data" / "prepare-data" / "images.npy")
    paths = pd.read_csv(project / "data/prepare-data/manifests/seed-0.csv")["path"]
    assert sorted(paths) == sorted(squares)
    np.testing.assert_array_equal(images, [squares[path] for path in paths])
