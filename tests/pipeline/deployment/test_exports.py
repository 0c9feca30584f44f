"""Every form of a model of each library, loaded again as a user would, against PyTorch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import timm
import torch
import torchvision
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline.common.errors import UserError
from pipeline.deployment.description import Description, load_description
from pipeline.deployment.exports import compare, form_named, require_replaceable, write_export
from pipeline.deployment.forms import hugging_face, mlflow
from pipeline.deployment.images import square_of
from pipeline.deployment.target_model import TargetModel
from pipeline.sources.models import load_source_model
from pipeline.training.compute import resolve_compute
from pipeline.training.methods import new_model

CLASSES = ("heron", "Möwe", "a, b")
TEMPERATURE = 0.7
SIZES = {
    "test_resnet": (32, 36),
    "test_vit": (32, 36),
    "hf": (32, 35),
    "shufflenet_v2_x0_5": (32, 32),
}
OPTIONS = {"timm:test_vit": {"img_size": 32}}
FORMS = {
    "timm:test_vit": ("weights", "hugging-face"),
    "efficientnet-lite0": ("weights", "hugging-face"),
    "shufflenet_v2_x0_5": ("weights",),
    "hf": ("onnx", "hugging-face"),
}


def with_statistics(network: Any) -> Any:
    """Batch normalisation that has seen images, so that features differ from image to image."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(pictures(64, 32)).permute(0, 3, 1, 2) / 255)
    return network.eval()


def named_source(name: str, folder: Path) -> tuple[str, str]:
    """Name and weights, as params.yaml takes them, of a model with random weights."""
    torch.manual_seed(0)
    if name == "hf":
        labels = {0: "cat", 1: "dog", 2: "emu", 3: "fox"}
        config = transformers.ConvNextConfig(
            hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], image_size=32, id2label=labels
        )
        transformers.ConvNextForImageClassification(config).save_pretrained(folder / "source")
        size = {"height": 32, "width": 32}
        transformers.ViTImageProcessor(size=size).save_pretrained(folder / "source")
        return f"hf:{folder / 'source'}", "published"
    if name == "efficientnet-lite0":
        return name, "published"
    if name.startswith("timm:"):
        network = timm.create_model(name.removeprefix("timm:"), **OPTIONS.get(name, {}))
    else:
        network = torchvision.models.get_model(name)
    save_file(with_statistics(network).state_dict(), folder / "source.safetensors")
    return name, str(folder / "source.safetensors")


def fine_tuned(
    name: str, folder: Path, stored: int | None = None
) -> tuple[TargetModel, Description]:
    """A model whose probabilities differ much from image to image."""
    source_name, weights = named_source(name, folder)
    size, fitting = SIZES.get(name.removeprefix("timm:"), (32, 36))
    stored = stored or fitting
    source = load_source_model(source_name, weights, size)
    model = new_model(source, len(CLASSES), 0).eval()
    squares = torch.from_numpy(pictures(64, stored)).permute(0, 3, 1, 2)
    with torch.no_grad():
        features = model.backbone(source.preprocessing.center_crop(squares))
        direction = torch.linalg.svd(features - features.mean(dim=0)).Vh[: len(CLASSES)]
        spread = (features @ direction.T).std(dim=0)[:, None]
        model.target_head.weight.copy_(direction / spread)
        model.target_head.bias.copy_(-model.target_head.weight @ features.mean(dim=0))
    compute = resolve_compute("cpu", "float32")
    target = TargetModel("co-tuning", model, CLASSES, source, stored, TEMPERATURE, compute)
    inputs = source.preprocessing
    return target, Description(
        **{"classes": CLASSES, "method": "co-tuning", "seed": 0, "temperature": TEMPERATURE},
        source_model={"name": source_name, "weights": "mine", "licence": "unknown"},
        preprocessing={
            **{"stored_size": stored, "interpolation": "bilinear", "input_size": size},
            **{"mean": list(inputs.mean), "std": list(inputs.std)},
            "crop_fraction": inputs.crop_fraction,
        },
        data={"source": "image-folder", "train": 9, "validation": 3},
        **{"metrics": {}, "crops": 1, "git": {}, "runs": {}},
    )


def pictures(count: int, size: int) -> np.ndarray:
    """Of different brightness, colour and contrast."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, size, size, 3)) * rng.uniform(5, 80, (count, 1, 1, 1))
    return (images + rng.uniform(40, 215, (count, 1, 1, 3))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("source", "form"), [(source, form) for source, forms in FORMS.items() for form in forms]
)
def test_an_export_answers_as_pytorch_does(tmp_path: Path, source: str, form: str) -> None:
    model, description = fine_tuned(source, tmp_path)
    images = pictures(200, model.stored_size)
    probabilities = model.probabilities(images)
    assert probabilities.max(dim=1).values.std() > 0.02
    assert len(probabilities.argmax(dim=1).unique()) == len(CLASSES)
    folder = tmp_path / "export"
    folder.mkdir()
    chosen = form_named(form, description.source_model["name"])
    found = write_export(chosen, model, description, images, folder)
    assert (found.images, found.same_class) == (200, 200)
    assert found.largest_difference < 1e-4
    assert load_description(folder).classes == list(CLASSES)
    assert "Möwe" in (folder / "README.md").read_text()


def test_a_graph_resizes_images_that_are_stored_too_large_for_its_crop(tmp_path: Path) -> None:
    model, description = fine_tuned("timm:test_resnet", tmp_path, stored=64)
    assert description.fitted_size < description.stored_size == 64
    folder = tmp_path / "export"
    folder.mkdir()
    chosen = form_named("onnx", "timm:test_resnet")
    found = write_export(chosen, model, description, pictures(50, 64), folder)
    assert found.same_class == 50
    size = description.fitted_size
    assert (
        f"(bilinear, antialias), then to {size} x {size}; its" in (folder / "README.md").read_text()
    )


def test_the_weights_are_the_librarys_own(tmp_path: Path) -> None:
    model, description = fine_tuned("timm:test_resnet", tmp_path)
    form_named("weights", "timm:test_resnet").write(model, description, tmp_path)
    network = timm.create_model("test_resnet", num_classes=len(CLASSES)).eval()
    network.load_state_dict(load_file(tmp_path / "model.safetensors"))
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(network(images), model.network(images), atol=1e-6)


def test_a_graph_says_what_it_takes_and_gives(tmp_path: Path) -> None:
    model, description = fine_tuned("timm:test_resnet", tmp_path)
    form_named("onnx", "timm:test_resnet").write(model, description, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (given,), (gives,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == (
        *("images", "tensor(uint8)"),
        ["batch", 36, 36, 3],
    )
    assert (gives.name, gives.shape) == ("probabilities", ["batch", len(CLASSES)])
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == list(CLASSES)
    assert json.loads(about["temperature"]) == TEMPERATURE
    assert json.loads(about["preprocessing"])["input_size"] == 32


@pytest.mark.parametrize("source", ["timm:test_resnet", "hf"])
def test_transformers_prepares_a_whole_image_itself(tmp_path: Path, source: str) -> None:
    model, description = fine_tuned(source, tmp_path)
    folder = tmp_path / "export"
    folder.mkdir()
    hugging_face.write(model, description, folder)
    image = pictures(1, 90)[0, :50]
    (expected,) = model.probabilities(square_of(mlflow.png(image), model.stored_size, 10**6)[None])
    classify = transformers.pipeline("image-classification", model=str(folder))
    found = {one["label"]: one["score"] for one in classify(Image.fromarray(image))}
    # Resized by another library, where pixels are rounded otherwise.
    assert found == pytest.approx(dict(zip(CLASSES, expected.tolist(), strict=True)), abs=0.02)


def test_what_has_no_such_form_is_refused() -> None:
    with pytest.raises(UserError, match="is a model of torchvision, which transformers does not"):
        form_named("hugging-face", "resnet50")
    with pytest.raises(UserError, match="run `cot export hugging-face`"):
        form_named("weights", "hf:some/model")


def test_without_the_extra_it_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from pipeline.deployment.exports import form_named\n"
        "form_named('onnx', 'resnet50')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = result.stderr.splitlines()[-1]
    assert last.endswith(
        "cot export onnx needs onnxruntime, which is not installed; run pip install '.[export]'"
    )


def test_an_export_that_answers_otherwise_is_not_accepted(tmp_path: Path) -> None:
    model, description = fine_tuned("timm:test_resnet", tmp_path)
    form = form_named("weights", "timm:test_resnet")
    colder = Description(**vars(description) | {"temperature": TEMPERATURE / 2})
    with pytest.raises(UserError, match=r"other probabilities than PyTorch, by .*e-0[12] on 9"):
        write_export(form, model, colder, pictures(9, 36), tmp_path)


def test_what_is_no_export_is_not_overwritten(tmp_path: Path) -> None:
    require_replaceable(tmp_path / "new")
    require_replaceable(tmp_path)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="is no exported model, and is not overwritten"):
        require_replaceable(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    require_replaceable(tmp_path)


def test_a_difference_is_of_any_probability() -> None:
    expected = np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]])
    found = compare(expected, np.array([[0.6, 0.4], [0.25, 0.75], [0.0, 1.0]]))
    assert (found.images, found.same_class, found.largest_difference) == (3, 2, 0.25)
