"""A project of few images that tests run as a user does: dvc and git in processes of their own."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
COLOURS = {"brick": (200, 60, 40), "grass": (60, 160, 50), "night sky": (20, 20, 60)}
SMALL = {
    "source_model": {"input_size": 32},
    "prepare_data": {"root": "photos", "stored_size": 36, "images_per_class": 13},
    "tune": {"trials": 2, "folds": 2},
    "fine_tune": {"epochs": 10, "batch_size": 8, "seeds": [0]},
    "evaluate": {"bootstrap_resamples": 100, "crops": 10},
    "report": {"bootstrap_resamples": 100},
}
# As in docs/dvc.md.
KEPT, DROPPED = "vanilla|co-tuning|gain", "/|State|Executor"
SHOW = (
    *("env", "COLUMNS=120", "dvc", "exp", "show", "--no-pager", "--only-changed"),
    *("--keep", KEPT, "--drop", DROPPED),
)


def copy_project(project):
    """The files of this checkout, without what was run."""
    files = call(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").stdout
    for name in files.splitlines():
        if name != "dvc.lock" and (ROOT / name).exists():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, project / name, follow_symlinks=False)


def draw_photos(folder):
    generator = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for index in range(16):
            noise = generator.integers(-20, 20, (40, 50, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def write_params(project, changes):
    yaml = YAML()
    path = project / "params.yaml"
    values = yaml.load(path.read_text())
    for section, entries in changes.items():
        values[section].update(entries)
    with path.open("w") as file:
        yaml.dump(values, file)


def call(project, *command):
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


def clean(project, *command):
    """What a command prints that must succeed without a warning."""
    result = call(project, *command)
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    assert "WARNING" not in result.stderr, (command, result.stderr)
    assert "leaked" not in result.stderr, (command, result.stderr)
    return result.stdout


def executed(output):
    """The stages that a `dvc repro` ran, without their methods."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return {line.split("'")[1].partition("@")[0] for line in lines}


def changed_stages(project):
    """The stages that DVC finds changed in themselves, not those that merely follow them."""
    status = json.loads(call(project, "dvc", "status", "--json", "dvc.yaml").stdout)
    return {name.partition("@")[0] for name in status}


def push(project, url, *options):
    """Commit all of a project, its images as DVC's, and push to a remote with such options."""
    identify(project)
    clean(project, "dvc", "add", "photos")
    clean(project, "dvc", "remote", "add", "--force", "--default", "store", url)
    for name, value in zip(options[::2], options[1::2], strict=True):
        clean(project, "dvc", "remote", "modify", "store", name, value)
    clean(project, "git", "add", "--all")
    clean(project, "git", "commit", "--quiet", "--message", "finished")
    clean(project, "dvc", "push")


def clone(project, folder):
    clean(project, "git", "clone", "--quiet", str(project), str(folder))
    identify(folder)
    return folder


def identify(project):
    """Name an author of commits, which DVC makes too."""
    for name in ("name", "email"):
        clean(project, "git", "config", f"user.{name}", "x@localhost")


def queue_experiment(project, name, param):
    """Run an experiment in a copy of the project."""
    clean(project, "dvc", "exp", "run", "--queue", "--name", name, "--set-param", param)
    clean(project, "dvc", "exp", "run", "--run-all")
