"""Image classifiers of transformers, from local folders."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from pipeline.common.errors import UserError
from pipeline.sources.models import load_source_model, published_input

NAMES = ["heron", "stork", "crane", "ibis", "egret"]
LABELS: dict[str, Any] = {
    "id2label": dict(enumerate(NAMES)),
    "label2id": {name: number for number, name in enumerate(NAMES)},
}
VISION_TRANSFORMER: dict[str, Any] = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 32, "image_size": 32, "patch_size": 8},
}
RESIDUAL: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
FAMILIES: dict[str, dict[str, Any]] = {
    "ViT": VISION_TRANSFORMER,
    "DeiT": VISION_TRANSFORMER,
    "Beit": VISION_TRANSFORMER,
    "Swin": {
        **{"image_size": 32, "patch_size": 2, "window_size": 2},
        **{"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2]},
    },
    "ConvNext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "image_size": 32},
    "ResNet": RESIDUAL | {"layer_type": "basic"},
    "RegNet": RESIDUAL | {"groups_width": 4},
    "MobileNetV2": {"depth_multiplier": 0.35, "image_size": 32},
}


def make(family: str, suffix: str = "ForImageClassification") -> nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**FAMILIES[family], **LABELS)
    model: nn.Module = getattr(transformers, family + suffix)(config).eval()
    return model


def save(model: Any, folder: Path, **processor: Any) -> str:
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size, **processor).save_pretrained(folder)
    return f"hf:{folder}"


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_cut_and_deployed_it_is_the_librarys_own_model_bit_for_bit(
    tmp_path: Path, family: str
) -> None:
    model = make(family)
    source = load_source_model(save(model, tmp_path / "source"), "published", "auto")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(source.network()(images), model(pixel_values=images).logits)
    assert source.categories == tuple(NAMES)
    target_head = nn.Linear(source.feature_size, 2)
    deployed: Any = source.deploy(source.backbone, target_head, ["cat", "dog"])
    deployed.save_pretrained(tmp_path / "target")
    own = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "target").eval()
    assert torch.equal(own(pixel_values=images).logits, target_head(source.backbone(images)))
    assert own.config.id2label == {0: "cat", 1: "dog"}
    assert torch.equal(source.network()(images), model(pixel_values=images).logits)


def test_preprocessing_is_that_of_its_image_processor(tmp_path: Path) -> None:
    name = save(make("ViT"), tmp_path, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6])
    assert published_input(name, "published") == (
        *(32, 1.0, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear"),
    )
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 28}, crop_pct=0.875)
    processor.save_pretrained(tmp_path)
    assert published_input(name, "published")[:2] == (28, 0.875)
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": 36}, crop_size=32, do_normalize=False, resample=3
    )
    processor.save_pretrained(tmp_path)
    assert published_input(name, "published") == (
        *(32, 32 / 36, (0.0,) * 3, (1.0,) * 3, "bicubic"),
    )


def test_a_model_without_a_trained_classifier_is_refused(tmp_path: Path) -> None:
    name = save(make("ViT", "Model"), tmp_path)
    with pytest.raises(UserError, match=r"brings no weights of classifier.*source categories"):
        load_source_model(name, "published", 32)


def test_a_distilled_model_is_refused(tmp_path: Path) -> None:
    name = save(make("DeiT", "ForImageClassificationWithTeacher"), tmp_path)
    with pytest.raises(UserError, match="does more after its last linear layer"):
        load_source_model(name, "published", 32)


def test_a_folder_that_is_none_and_weights_beside_it_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"could not be loaded: .*give its folder") as caught:
        load_source_model(f"hf:{tmp_path / 'empty'}", "published", 32)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="brings its own: leave it `published`"):
        load_source_model(f"hf:{tmp_path}", "w.safetensors", 32)


def test_without_transformers_it_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from pipeline.sources.models import load_source_model\n"
        "load_source_model('efficientnet-lite0', 'published', 32)\n"
        "load_source_model('hf:some/model', 'published', 32)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = result.stderr.splitlines()[-1]
    assert "needs transformers, which is not installed; run pip install '.[hf]'" in last
