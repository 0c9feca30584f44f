"""The source models of the paper: both generations of weights, without a network."""

from pathlib import Path
from urllib.parse import urlparse

import pytest
import torch
import torchvision
from torch import nn

from pipeline.common.errors import UserError
from pipeline.sources.models import load_source_model
from pipeline.sources.source_model import IMAGENET_CATEGORIES


def cached_weights(name: str, entry: str, cache: Path) -> nn.Module:
    """A random network whose weights lie where torchvision keeps what it has downloaded."""
    torch.manual_seed(len(entry))
    whole = torchvision.models.get_model(name, weights=None).eval()
    url = torchvision.models.get_model_weights(name)[entry].url
    path = cache / "hub" / "checkpoints" / Path(urlparse(url).path).name
    path.parent.mkdir(parents=True)
    torch.save(whole.state_dict(), path)
    return whole


@pytest.mark.parametrize(
    ("name", "entry", "features"),
    [
        ("resnet50", "IMAGENET1K_V1", 2048),
        ("resnet50", "IMAGENET1K_V2", 2048),
        ("densenet121", "IMAGENET1K_V1", 1024),
    ],
)
def test_published_weights_that_were_downloaded_before_need_no_network(
    name: str, entry: str, features: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    whole = cached_weights(name, entry, tmp_path)
    source = load_source_model(name, entry, 64)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(source.network()(images), whole(images))
    assert source.feature_size == features
    assert source.categories == IMAGENET_CATEGORIES
    assert (source.mean, source.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_the_same_weights_from_a_local_file(tmp_path: Path) -> None:
    whole = torchvision.models.resnet50(weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "resnet50.pth")
    source = load_source_model("resnet50", str(tmp_path / "resnet50.pth"), 64)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(source.network()(images), whole(images))
    assert (source.categories, source.mean) == (IMAGENET_CATEGORIES, (0.485, 0.456, 0.406))


def test_densenets_missing_second_generation_is_refused_with_what_there_is() -> None:
    with pytest.raises(UserError) as caught:
        load_source_model("densenet121", "IMAGENET1K_V2", 224)
    assert str(caught.value).startswith(
        "source_model.weights: got 'IMAGENET1K_V2'; densenet121 has IMAGENET1K_V1, DEFAULT, or"
    )
