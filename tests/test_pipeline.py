"""The pipeline as a user runs it: dvc and cot in processes of their own, on a folder of images."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from ruamel.yaml import YAML
from sharing import Started
from work import cot

ROOT = Path(__file__).parents[1]
COLOURS = {"brick": (200, 60, 40), "grass": (60, 160, 50), "night sky": (20, 20, 60)}
SMALL = {
    "source_model": {"input_size": 32},
    "prepare_data": {"root": "photos", "stored_size": 36, "images_per_class": 13},
    "tune": {"trials": 2, "folds": 2},
    "fine_tune": {"epochs": 10, "batch_size": 8, "seeds": [0]},
    "evaluate": {"bootstrap_resamples": 100, "crops": 10},
    "report": {"bootstrap_resamples": 100},
}

MODULE = "pipeline/report/metrics.py"

pytestmark = pytest.mark.slow


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


def start(project, *arguments):
    """Call the command; what it prints is then in the file `messages`."""
    return Started(cot, project, project / "messages", arguments)


def executed(output):
    """The stages that a `dvc repro` ran, without their methods."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return {line.split("'")[1].partition("@")[0] for line in lines}


def changed_stages(project):
    """The stages that DVC finds changed in themselves, not those that merely follow them."""
    status = json.loads(call(project, "dvc", "status", "--json", "dvc.yaml").stdout)
    return {name.partition("@")[0] for name in status}


@pytest.fixture
def edited(finished):
    """The project, with its params and modules put back after the test."""
    kept = {path: path.read_text() for path in (finished / "params.yaml", finished / MODULE)}
    yield finished
    for path, text in kept.items():
        path.write_text(text)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, empty_database):
    """A copy of the project in which `dvc repro` has run once."""
    project = tmp_path_factory.mktemp("pipeline") / "project"
    files = call(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").stdout
    for name in files.splitlines():
        if name != "dvc.lock" and (ROOT / name).exists():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, project / name, follow_symlinks=False)
    shutil.copy(empty_database, project / "mlflow.db")
    draw_photos(project / "photos")
    write_params(project, SMALL)
    call(project, "git", "init", "-q")
    result = call(project, "dvc", "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    return project


def test_every_stage_leaves_its_artifacts(finished):
    data = finished / "data"
    for name in (
        *("prepare-data/images.npy", "extract-logits/logits/seed-0.safetensors"),
        *("calibrate/seed-0/calibration.json", "tune/best.json"),
        *("fit-relationship/seed-0/relationship.safetensors", "report/report.md"),
        *(f"fine-tune/{method}/seed-0/model.safetensors" for method in ("vanilla", "co-tuning")),
    ):
        assert (data / name).exists()
    metrics = json.loads((data / "evaluate/co-tuning/seed-0/metrics.json").read_text())
    assert 0.5 < metrics["accuracy"] <= 1
    heads = [
        json.loads((data / "evaluate" / method / "seed-0/source_head.json").read_text())
        for method in ("vanilla", "co-tuning")
    ]
    assert heads[0]["before"] == heads[1]["before"]
    assert all(head["after"]["mean"] != head["before"]["mean"] for head in heads)
    assert all(set(head["after"]["by_class"]) == set(COLOURS) for head in heads)
    report = (data / "report/report.md").read_text()
    assert "night sky" in report
    assert "## Seeing why" in report


def test_a_second_run_has_nothing_to_do(finished):
    result = call(finished, "dvc", "repro")
    assert "up to date" in result.stdout
    assert executed(result.stdout) == set()


@pytest.mark.parametrize(
    ("section", "change", "stage"),
    [
        ("fine_tune", {"peers": {"bss": {"strength": 0.1}}}, "fine-tune"),
        ("evaluate", {"batch_size": 17}, "evaluate"),
        ("tune", {"folds": 3}, "tune"),
        ("fit_relationship", {"top_categories": 4}, "fit-relationship"),
        ("calibrate", {"method": "fixed"}, "calibrate"),
    ],
)
def test_a_changed_param_changes_its_stage_alone(edited, section, change, stage):
    write_params(edited, {section: change})
    assert changed_stages(edited) == {stage}


def test_a_touched_module_changes_the_stages_that_import_it(edited):
    (edited / MODULE).write_text((edited / MODULE).read_text() + "\n")
    assert changed_stages(edited) == {"evaluate", "report"}


def test_a_new_learning_rate_is_searched_with_and_trained_with_and_nothing_else_runs(edited):
    write_params(edited, {"fine_tune": {"learning_rate": 0.002}})
    assert changed_stages(edited) == {"tune", "fine-tune"}
    result = call(edited, "dvc", "repro", "evaluate@vanilla-0")
    assert result.returncode == 0, result.stderr
    assert executed(result.stdout) == {"tune", "fit-relationship", "fine-tune", "evaluate"}


def test_one_more_seed_trains_nothing_again(finished, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(finished, project, symlinks=True)
    write_params(project, {"fine_tune": {"seeds": [0, 1]}})
    result = call(project, "dvc", "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    ran = re.findall(r"Running stage '([\w@-]+)'", result.stdout)
    assert not [name for name in ran if re.search(r"@.*\b0$|^tune$", name)]
    assert {"calibrate@1", "fit-relationship@1", "fine-tune@co-tuning-1"} < set(ran)
    samples = [
        pd.read_csv(project / f"data/prepare-data/manifests/seed-{seed}.csv") for seed in (0, 1)
    ]
    drawn = [set(sample.loc[sample["split"] == "train", "path"]) for sample in samples]
    assert drawn[0] != drawn[1]
    report = (project / "data/report/report.md").read_text()
    assert "| Method | Seed 0 | Seed 1 | Mean |" in report


def test_each_stage_has_its_run_found_from_any_artifact(finished):
    client = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}")
    last = json.loads((finished / "data/report/run.json").read_text())["run_id"]
    assert client.get_run(last).data.tags["stage"] == "report"
    for artifact in ("calibrate/seed-0/calibration.json", "evaluate/co-tuning/seed-0/metrics.json"):
        assert start(finished, "runs", f"data/{artifact}").end() == 0
        lines = (finished / "messages").read_text().splitlines()
        names = {line.split()[-1] for line in lines}
        assert {"prepare-data", "extract-logits", "tune", "evaluate@co-tuning-0", "report"} <= names


def test_tuning_starts_with_vanilla_and_the_default(finished):
    trials = pd.read_csv(finished / "data/tune/trials.csv")
    assert trials["source_weight"].tolist() == [0.0, 2.3]


def test_the_same_stage_gives_the_same_bytes(finished):
    kept = {}
    for stage, name in (
        ("extract-logits", "logits/seed-0.safetensors"),
        ("calibrate", "seed-0/calibration.json"),
        ("fit-relationship", "seed-0/relationship.safetensors"),
    ):
        path = finished / "data" / stage / name
        kept[path] = path.read_bytes()
        path.unlink()
        assert start(finished, "stage", stage).end() == 0
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_passing_values_through_needs_no_trial(finished):
    path = finished / "data/tune/best.json"
    kept = path.read_text()
    assert start(finished, "stage", "tune", "--set", "tune.trials=0").end() == 0
    best = json.loads(path.read_text())
    assert (best["source_weight"], best["trials"]) == (2.3, 0)
    path.write_text(kept)


def test_the_number_of_crops_reaches_the_metrics(finished):
    path = finished / "data/evaluate/vanilla/seed-0/metrics.json"
    ten = path.read_text()
    arguments = ("stage", "evaluate", "--method", "vanilla", "--set", "evaluate.crops=1")
    assert start(finished, *arguments).end() == 0
    assert json.loads(path.read_text())["nll"] != json.loads(ten)["nll"]
