"""The source model whose relationship is known: made small, loaded as any other, the same again."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from safetensors.torch import load_file

from pipeline.common.formats import read_json
from pipeline.datasets.batches import Preprocessing
from pipeline.sources.models import load_source_model

STUDY = Path(__file__).parents[2] / "experiments/known-relationship"
SMALL = {"source_pool": 500, "source_images": 256, "epochs": 1, "batch_size": 64}
SMALL |= {"train_per_class": 2, "test_per_class": 2, "raw": "raw"}


def load_script():
    spec = importlib.util.spec_from_file_location("pretrain", STUDY / "pretrain.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


pretrain = load_script()


def write_raw(folder):
    """Garments of noise, each kind with a bright row of its own."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 600), ("t10k", 100)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = rng.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        images[np.arange(count), 2 * labels + 4] = 250
        (folder / f"{part}-images-idx3-ubyte").write_bytes(bytes(16) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(bytes(8) + labels.tobytes())


def make(folder, monkeypatch):
    write_raw(folder / "raw")
    values = YAML(typ="safe").load((STUDY / "pretrain.yaml").read_text())
    with (folder / "pretrain.yaml").open("w") as file:
        YAML().dump(values | SMALL, file)
    monkeypatch.chdir(folder)
    pretrain.main()
    return folder / "data/pretrain"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return make(tmp_path_factory.mktemp("study"), monkeypatch)


def test_the_true_relationship_gives_each_class_its_own_category(made):
    assert torch.equal(load_file(made / "relationship.safetensors")["relationship"], torch.eye(40))
    for domain in ("near", "far"):
        for split in ("train", "test"):
            classes = sorted(path.name for path in (made / domain / split).iterdir())
            assert classes == [f"class-{label:02d}" for label in range(40)]
            assert len(list((made / domain / split).rglob("*.png"))) == 80


def test_a_class_is_a_garment_in_a_colour(made):
    """Garment 3 in colour 1 is class 13: green, with the bright row of its kind."""
    with Image.open(made / "near/test/class-13/0000.png") as image:
        pixels = np.asarray(image).astype(float)
    brightest = pixels.mean(axis=1).sum(axis=1).argmax()
    assert pixels[brightest].mean(axis=0).argmax() == 1
    assert 10 <= brightest <= 14, "row 2 * 3 + 4 of the garment, shifted by up to 4"


def test_the_weights_are_those_of_a_source_model(made):
    weights = str(made / "weights.safetensors")
    source = load_source_model("shufflenet_v2_x0_5", weights, 32)
    assert len(source.categories) == 40
    with Image.open(made / "near/test/class-00/0000.png") as image:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    crop = Preprocessing(32, source.mean, source.std).center_crop(pixels)
    assert source.network().eval()(crop).shape == (1, 40)
    assert set(read_json(made / "source_accuracy.json")) == {"source", "near", "far"}


def test_the_same_seed_gives_the_same_bytes(made, tmp_path, monkeypatch):
    again = make(tmp_path / "again", monkeypatch)
    for path in (path for path in made.rglob("*") if path.is_file()):
        assert (again / path.relative_to(made)).read_bytes() == path.read_bytes(), path
