"""cot export and cot register, on a small trained model: what other programs get of it."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import timm
import torch
from layouts import draw
from mlflow import MlflowClient
from served import ask, registered_from, serving

from pipeline import params
from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.deployment.description import load_description
from pipeline.deployment.exports import compare, form_named, in_batches, some_images
from pipeline.deployment.images import square_of
from pipeline.deployment.target_model import load_target_model
from stages import (
    calibrate,
    evaluate,
    export,
    extract_logits,
    fine_tune,
    fit_relationship,
    prepare_data,
    register,
    tune,
)

SMALL: dict[str, Any] = {
    "compute": {"device": "cpu", "precision": "float32"},
    "source_model": {"name": "timm:test_resnet", "weights": "source.pt", "input_size": 32},
    "prepare_data": {"root": "photos", "stored_size": 36, "images_per_class": 6}
    | {"test_fraction": None, "val_fraction": 0.5},
    "tune": {"trials": 0},
    "fine_tune": {"epochs": 20, "batch_size": 9, "seeds": [0], "methods": ["vanilla"]},
    "evaluate": {"bootstrap_resamples": 100},
}
VALUES = params.Params.model_validate(SMALL)
CLASSES = ("fen", "Öd, wild", "sea")
FORMS = ("onnx", "torch-export", "weights", "hugging-face", "mlflow")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """The root of a project whose vanilla was trained and judged on 200 images and more."""
    root = tmp_path_factory.mktemp("trained")
    shutil.copy(empty_database, root / "mlflow.db")
    (root / "params.yaml").write_text(json.dumps(SMALL))
    for index in range(3 * 73):
        draw(root / "photos" / CLASSES[index % 3] / f"{index}.jpg", index % 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        torch.manual_seed(0)
        torch.save(timm.create_model("test_resnet", num_classes=5).state_dict(), "source.pt")
        for stage in (prepare_data, extract_logits, calibrate, tune, fit_relationship):
            stage.run(VALUES)
        fine_tune.run(VALUES, "vanilla")
        evaluate.run(VALUES, "vanilla")
    return root


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(trained)
    return trained


@pytest.mark.parametrize("form", FORMS)
def test_every_form_answers_as_pytorch_does(
    here: Path, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    export.run(VALUES, form, None, None)
    folder = here / "exports" / form
    assert "on 200 images the same class as PyTorch on 200" in capsys.readouterr().out
    store = Store(here)
    images = some_images(store.load_prepared())
    expected = load_target_model(store, VALUES, "vanilla").probabilities(images).numpy()
    assert len(set(expected.argmax(axis=1))) == 3
    answer = form_named(form, VALUES.source_model.name).load(folder)
    found = compare(expected, in_batches(answer, images))
    assert (found.images, found.same_class) == (200, 200)
    assert found.largest_difference < 1e-4
    run_its_card(folder, here / "photos/sea/2.jpg", monkeypatch)


def run_its_card(folder: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of Python by which a card says that the model is loaded, beside an image."""
    shutil.copy(image, folder / "image.jpg")
    monkeypatch.chdir(folder)
    (code,) = re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.setattr(sys, "path", list(sys.path))  # MLflow puts the model's code before it
    exec(code, {})


def test_what_lies_beside_it_says_what_it_is(here: Path) -> None:
    export.run(VALUES, "weights", "vanilla", here / "mine")
    metrics = json.loads((here / "data/evaluate/vanilla/seed-0/metrics.json").read_text())
    about = load_description(here / "mine")
    assert about.classes == sorted(CLASSES)
    assert about.data == {"source": "image-folder", "train": 9, "validation": 9, "test": 201}
    assert about.metrics == metrics
    assert about.temperature == metrics["own_temperature"]
    run = json.loads((here / "data/fine-tune/vanilla/seed-0/run.json").read_text())["run_id"]
    assert about.runs["fine-tune"] == run
    card = (here / "mine/README.md").read_text()
    low, high = metrics["intervals"]["accuracy"]
    assert f"| Accuracy | {metrics['accuracy']:.3f} | {low:.3f} to {high:.3f} |" in card
    assert "Licence: unknown; look it up" in card
    assert "Öd, wild" in card
    assert 'timm.create_model("test_resnet", num_classes=3)' in card
    assert run in card


def test_it_replaces_an_export_and_nothing_else(here: Path) -> None:
    (here / "thesis").mkdir()
    (here / "thesis/chapter.tex").write_text("mine")
    with pytest.raises(UserError, match="is no exported model, and is not overwritten"):
        export.run(VALUES, "weights", None, here / "thesis")
    assert (here / "thesis/chapter.tex").read_text() == "mine"
    for _ in range(2):
        export.run(VALUES, "weights", None, here / "again")
    files = {path.name for path in (here / "again").iterdir()}
    assert files == {"model.safetensors", "model.json", "README.md"}
    assert not [path for path in here.glob(".*") if path.is_dir() and path.name != ".work"]


def served_without_the_project(uri: str, database: Path, image: bytes) -> dict[str, Any]:
    """What the model answers in a process in which neither PyTorch nor timm can be imported."""
    code = (
        "import base64, json, sys; sys.modules |= dict.fromkeys(['torch', 'timm', 'onnx'])\n"
        "import mlflow, pandas as pd; model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "import pipeline; data = base64.b64decode(sys.argv[2])\n"
        "rows = [model.predict(pd.DataFrame({'image': [one]})).to_dict('records')[0]\n"
        "        for one in (data, base64.b64encode(data).decode())]\n"
        "assert rows[0] == rows[1], rows\n"
        "print(json.dumps(rows[0] | {'code': pipeline.__file__}))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{database}"
    encoded = base64.b64encode(image).decode()
    result = subprocess.run(
        [sys.executable, "-c", code, uri, encoded],
        **{"capture_output": True, "text": True, "cwd": "/", "env": environment},
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_a_registered_model_knows_what_is_behind_it(here: Path) -> None:
    register.run(VALUES, "land and sea", None, "champion")
    client = MlflowClient(f"sqlite:///{here / 'mlflow.db'}")
    version = client.get_model_version_by_alias("land and sea", "champion")
    images = "input.data/prepare-data/images.npy"
    run, metrics = registered_from(here, client, version, images)
    assert run.data.metrics["accuracy"] == metrics["accuracy"]
    image = (here / "photos/sea/2.jpg").read_bytes()
    answer = served_without_the_project("models:/land and sea@champion", here / "mlflow.db", image)
    model = load_target_model(Store(here), VALUES, "vanilla")
    (expected,) = model.probabilities(square_of(image, model.stored_size, 10_000)[None])
    assert answer["probabilities"] == pytest.approx(expected.tolist(), abs=1e-4)
    assert answer["code"].startswith(str(here / "mlruns"))
    register.run(VALUES, "land and sea", None, None)
    assert client.get_model_version_by_alias("land and sea", "champion").version == version.version
    assert len(client.search_model_versions("name = 'land and sea'")) == 2


@pytest.mark.parametrize(
    ("name", "alias"), [("a/b", None), (" ", None), ("ab", "latest"), ("ab", "v2"), ("ab", "a b")]
)
def test_a_name_that_mlflow_refuses_is_refused_before_any_work(name: str, alias: str) -> None:
    with pytest.raises(UserError, match=r"^got '.*'.*; give "):
        register.run(VALUES, name, None, alias)


@pytest.mark.processes
def test_mlflow_serves_it(here: Path, tmp_path: Path) -> None:
    command = ["cot", "export", "mlflow", "--output", str(tmp_path / "model")]
    result = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    model = load_target_model(Store(here), VALUES, "vanilla")
    with serving(tmp_path / "model", tmp_path / "log") as address:
        for path in here.glob("photos/*/1*1.jpg"):
            data = path.read_bytes()
            (found,) = ask(address, base64.b64encode(data).decode())["predictions"]
            square = square_of(data, model.stored_size, most_pixels=10_000)
            (expected,) = model.probabilities(square[None])
            assert found["probabilities"] == pytest.approx(expected.tolist(), abs=1e-4)
            assert found["class"] == model.classes[expected.argmax()]
            assert found["probability"] == max(found["probabilities"])
        with pytest.raises(HTTPError) as refused:
            ask(address, base64.b64encode(b"no image").decode())
        assert refused.value.code == 400
        assert "image 0: not an image of a known format" in refused.value.read().decode()
