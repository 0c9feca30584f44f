"""`cot predict` as a user calls it, against what evaluate found for the same images."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from trained_project import write_trained

from pipeline import params
from pipeline.artifacts import Store
from pipeline.deployment.target_model import load_target_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained(tmp_path_factory.mktemp("predict"))


def predict(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["cot", "predict", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


@pytest.fixture(scope="module")
def expected(finished: Path) -> torch.Tensor:
    """By the network alone, one image after the other."""
    store = Store(finished)
    model = load_target_model(store, params.load(finished / "params.yaml"), "co-tuning")
    prepared = store.load_prepared()
    pixels = torch.from_numpy(prepared.images[prepared.split("test").rows]).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = [model.network(model.preprocessing.center_crop(one[None])) for one in pixels]
    return torch.softmax(torch.cat(logits) / 2.5, dim=1)


def test_json_lines_are_the_networks_own_calibrated_probabilities(
    finished: Path, expected: torch.Tensor
) -> None:
    result = predict(finished, "photos", "--format", "json")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["path"] for row in rows] == [f"photos/{row:02}.png" for row in range(20, 32)]
    for row, wanted in zip(rows, expected, strict=True):
        found = {one["class"]: one["probability"] for one in row["top"]}
        np.testing.assert_allclose([found["dark"], found["bright"]], wanted, atol=1e-5)
        assert row["probability"] == max(found.values()) == found[row["class"]]


def test_csv_has_a_row_an_image_and_unreadable_files_are_listed_and_not_fatal(
    finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(finished / "photos", folder)
    (folder / "25.png").write_bytes(b"no image")
    output = tmp_path / "found.csv"
    result = predict(finished, str(folder), "--format", "csv", "--output", str(output))
    assert result.returncode == 0
    assert "1 of 12 images cannot be read" in result.stderr
    assert "25.png (not an image of a known format)" in result.stderr
    table = pd.read_csv(output)
    assert list(table) == ["path", "class", "probability", "class_2", "probability_2"]
    assert len(table) == 11
    np.testing.assert_allclose(table["probability"] + table["probability_2"], 1)


def test_a_table_says_which_model_it_was(finished: Path) -> None:
    result = predict(finished, "photos/20.png")
    assert result.returncode == 0, result.stderr
    assert "photos/20.png" in result.stdout
    assert "By co-tuning, calibrated at its own temperature 2.50." in result.stdout


def test_without_evaluate_the_temperature_is_fitted_on_the_validation_images(
    finished: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    shutil.rmtree(root / "data/evaluate")
    model = load_target_model(Store(root), params.load(root / "params.yaml"), "co-tuning")
    validation = Store(root).load_prepared().split("validation")
    pixels = torch.from_numpy(validation.images[validation.rows]).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = model.network(model.preprocessing.center_crop(pixels)).double()
    labels = torch.from_numpy(validation.labels)

    def nll(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / temperature, labels))

    assert 1 / 8 <= model.temperature <= 8
    assert nll(model.temperature) <= min(nll(t) for t in np.geomspace(1 / 8, 8, 99)) + 1e-6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere does not exist; name images or folders of images"),
        (["photos", "--method", "vanilla"], "make it with `cot stage fine-tune --method vanilla`"),
        (["params.yaml"], "none of the images can be read: params.yaml (not an image"),
    ],
)
def test_mistakes_are_one_line(finished: Path, arguments: list[str], words: str) -> None:
    result = predict(finished, *arguments)
    assert result.returncode == 1
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
