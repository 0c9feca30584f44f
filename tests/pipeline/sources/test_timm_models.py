"""Classifiers of timm: the cut, what is deployed, their own preprocessing and categories."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline.common.errors import UserError
from pipeline.sources.models import load_source_model, published_input

# Small ones of each kind; what is named test_ are timm's own miniatures of the family.
ARCHITECTURES = [
    "test_byobnet",
    "test_coatnet",
    "test_convnext",
    "test_convnext2",
    "test_efficientnet",
    "test_efficientnet_gn",
    "test_mambaout",
    "test_maxvit",
    "test_nfnet",
    "test_resnet",
    "test_vit",
    "test_vit2",
    "test_vit3",
    "test_vit_relpos",
    "resnet10t",
    "regnetx_002",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_035",
    "convnext_atto",
    "convnextv2_atto",
    "vit_tiny_patch16_224",
    "xcit_nano_12_p16_224",
    "pvt_v2_b0",
    "edgenext_xx_small",
    "ghostnet_050",
    "mobilevit_xxs",
    "fastvit_t8",
    "densenet121",
    "efficientnet_b0",
    "poolformer_s12",
    "tiny_vit_5m_224",
]
LARGE = ["swin_tiny_patch4_window7_224", "mixer_s32_224", "vgg11", "inception_v3", "nest_tiny"]


def saved(name: str, folder: Path, classes: int = 1000) -> str:
    """Weights of a random model whose classifier is not zero."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=classes)
    for parameter in model.get_classifier().parameters():
        nn.init.normal_(parameter, std=0.1)
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return str(path)


def refusal(name: str, weights: str = "published", input_size: int = 64) -> str:
    with pytest.raises(UserError) as caught:
        load_source_model(name, weights, input_size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", [*ARCHITECTURES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
@torch.inference_mode()
def test_cut_and_deployed_it_is_timms_own_model_bit_for_bit(tmp_path: Path, name: str) -> None:
    path = saved(name, tmp_path)
    source = load_source_model(f"timm:{name}", path, "auto")
    images = torch.rand(2, 3, source.input_size, source.input_size)
    whole = timm.create_model(name, num_classes=1000, checkpoint_path=path).eval()
    expected = whole(images)
    assert torch.equal(source.network()(images), expected)
    assert not torch.equal(expected[0], expected[1])
    assert source.backbone(images).shape == (2, source.feature_size)
    target_head = nn.Linear(source.feature_size, 3)
    own = timm.create_model(name, num_classes=3).eval()
    own.load_state_dict(source.deploy(source.backbone, target_head, ["a", "b", "c"]).state_dict())
    assert torch.equal(own(images), target_head(source.backbone(images)))
    assert torch.equal(source.network()(images), expected), "deploying changed the source model"


def test_preprocessing_is_that_of_timm(tmp_path: Path) -> None:
    source = load_source_model(
        "timm:vit_tiny_patch16_224", saved("vit_tiny_patch16_224", tmp_path), "auto"
    )
    assert (source.mean, source.std) == ((0.5,) * 3, (0.5,) * 3)
    assert published_input("timm:test_resnet", "published").size == 160
    for name in "resnet50", "vit_base_patch16_384", "convnext_tiny.fb_in22k":
        config = timm.data.resolve_data_config(
            pretrained_cfg=timm.get_pretrained_cfg(name).to_dict()
        )
        names = "crop_pct", "mean", "std", "interpolation"
        expected = config["input_size"][-1], *(config[name] for name in names)
        assert published_input(f"timm:{name}", "published") == expected


def test_a_network_of_fixed_size_takes_another_one_that_is_asked_for(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224"
    source = load_source_model(f"timm:{name}", saved(name, tmp_path), 96)
    assert source.network()(torch.rand(1, 3, 96, 96)).shape == (1, 1000)
    mixer = saved("mixer_s32_224", tmp_path)  # its weights are of the size
    assert "does not fit timm:mixer_s32_224" in refusal("timm:mixer_s32_224", mixer, 96)


@pytest.mark.parametrize(("classes", "first"), [(21841, "organism"), (21843, "organism")])
def test_heads_of_imagenet_21k_have_their_names(tmp_path: Path, classes: int, first: str) -> None:
    source = load_source_model("timm:test_resnet", saved("test_resnet", tmp_path, classes), 32)
    assert len(source.categories) == classes
    assert source.categories[0].startswith(first)


def test_a_folder_as_timm_writes_it_brings_its_labels(tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=3)
    model.pretrained_cfg["label_names"] = ["heron", "stork", "crane"]
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"num_classes": 3, "label_names": ["heron", "stork", "crane"]}
    config["pretrained_cfg"]["mean"] = [0.1, 0.2, 0.3]
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = load_source_model("timm:test_resnet", str(tmp_path), "auto")
    assert source.categories == ("heron", "stork", "crane")
    assert source.mean == (0.1, 0.2, 0.3)
    images = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        assert torch.equal(source.network()(images), model.eval()(images))
    assert "set source_model.name to timm:test_resnet" in refusal("timm:test_vit", str(tmp_path))


def test_what_has_no_single_linear_classifier_is_refused(tmp_path: Path) -> None:
    distilled = "deit_tiny_distilled_patch16_224"
    path = str(tmp_path / "d.safetensors")
    save_file(timm.create_model(distilled).state_dict(), path)
    assert "has 2 classifiers, as distilled models have" in refusal(f"timm:{distilled}", path, 224)
    assert "trained without a classifier" in refusal("timm:vit_small_patch14_dinov2", "published")
    assert "trained without a classifier" in refusal("timm:vit_base_patch16_224.mae", "published")
    path = str(tmp_path / "c.safetensors")
    save_file(timm.create_model("resnetv2_50x1_bit").state_dict(), path)
    assert "is a Conv2d, which holds no linear layer" in refusal("timm:resnetv2_50x1_bit", path)


def test_what_is_not_there_or_does_not_fit_is_named(tmp_path: Path) -> None:
    assert "did you mean timm:resnet50?" in refusal("timm:resnet_50")
    path = saved("test_resnet", tmp_path)
    assert "does not fit timm:test_vit" in refusal("timm:test_vit", path)
    assert "or a folder with config.json and model.safetensors" in refusal("timm:test_vit", "none")
