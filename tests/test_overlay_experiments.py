"""An overlay under dvc itself: `cot overlay`, then `dvc exp run`, in processes of their own."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
OVERLAY = """
source_model:
  input_size: 64
prepare_data:
  source: image-folder
  root: photos
  stored_size: 72
  images_per_class: null
  sampling_rate: 0.5 # of 10 photos of a class, less 2 for testing
  test_fraction: 0.2
fine_tune:
  seeds: [0]
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def repository(project):
    """The first stage of the pipeline in a git repository, and photos that are none of its."""
    definition = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["prepare-data"]
    code = "pipeline/", "stages/"
    definition["deps"] = [path for path in definition["deps"] if not path.startswith(code)]
    YAML().dump({"stages": {"prepare-data": definition}}, project / "dvc.yaml")
    shutil.copy(ROOT / "params.yaml", project)
    (project / "half.yaml").write_text(OVERLAY)
    generator = np.random.default_rng(0)
    for name in "brick", "grass":
        (project / "photos" / name).mkdir(parents=True)
        for index in range(10):
            pixels = generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(project / "photos" / name / f"{index}.png")
    (project / ".gitignore").write_text("/data\n/photos\n/mlflow.db*\n/.work\n")
    call(project, "git", "init", "-q")
    call(project, "git", "config", "user.email", "somebody@example.org")
    call(project, "git", "config", "user.name", "Somebody")
    call(project, "dvc", "init", "-q")
    call(project, "git", "add", "-A")
    call(project, "git", "commit", "-qm", "Start")
    return project


def call(project, *command):
    result = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def kept(project):
    manifest = pd.read_csv(project / "data/prepare-data/manifests/seed-0.csv")
    return manifest["split"].value_counts().to_dict()


def test_an_experiment_is_run_with_the_values_of_the_overlay(repository):
    assert "prepare_data.sampling_rate: 1.0 -> 0.5" in call(
        repository, "cot", "overlay", "half.yaml"
    )
    call(repository, "dvc", "exp", "run", "--name", "half")
    assert kept(repository) == {"train": 6, "validation": 2, "test": 4}
    shown = json.loads(call(repository, "dvc", "exp", "show", "--json"))
    experiment = shown[1]["experiments"][0]["revs"][0]
    assert experiment["name"] == "half"
    assert experiment["data"]["params"]["params.yaml"]["data"]["prepare_data"][
        "sampling_rate"
    ] == pytest.approx(0.5)


def test_set_param_wins_over_the_overlay(repository):
    call(repository, "cot", "overlay", "half.yaml")
    call(repository, "dvc", "exp", "run", "-S", "prepare_data.sampling_rate=1.0")
    assert kept(repository) == {"train": 12, "validation": 4, "test": 4}


def test_one_call_of_a_stage_takes_the_overlay_without_writing_it(repository):
    before = (repository / "params.yaml").read_bytes()
    command = ("cot", "stage", "prepare-data", "--overlay", "half.yaml")
    call(repository, *command, "--set", "prepare_data.stored_size=80")
    assert kept(repository) == {"train": 6, "validation": 2, "test": 4}
    assert np.load(repository / "data/prepare-data/images.npy").shape == (12, 80, 80, 3)
    assert (repository / "params.yaml").read_bytes() == before
