"""Every source model by its name: EfficientNet-Lite, torchvision's, timm's, transformers'."""

from collections.abc import Mapping
from typing import Literal, Protocol

from pipeline.sources import (
    efficientnet_lite,
    hugging_face_models,
    timm_models,
    torchvision_models,
)
from pipeline.sources.source_model import PublishedInput, SourceModel


class Family(Protocol):
    """What a file of this room gives: the models of one library."""

    def load(self, name: str, weights: str, input_size: int | None) -> SourceModel: ...

    def published_input(self, name: str, weights: str) -> PublishedInput: ...


# By what stands before a model's name; a plain name is torchvision's.
PREFIXES: Mapping[str, Family] = {"timm:": timm_models, "hf:": hugging_face_models}


def load_source_model(name: str, weights: str, input_size: int | Literal["auto"]) -> SourceModel:
    """Build a source model with its weights, cut it, and try it on one image.

    Args:
        name: `efficientnet-lite0` to `-lite2`, a torchvision classification model's registry
            name, timm:<name>, or hf:<name or folder> of a model of transformers.
        weights: `published`; a torchvision weights entry; the path of a local state dict, or for
            timm of a folder.
        input_size: side of the square images that it will see, in pixels; `auto` for that of its
            published weights.

    Raises:
        UserError: unknown name or weights, weights that do not fit or cannot be downloaded, a
            model without a linear classifier at its end, or that refuses images of this size.
    """
    family, own_name = _family(name)
    return family.load(own_name, weights, None if input_size == "auto" else input_size)


def published_input(name: str, weights: str) -> PublishedInput:
    """The images that a source model is published for, without loading its network.

    Args:
        name, weights: as of load_source_model.

    Raises:
        UserError: unknown name or weights.
    """
    family, own_name = _family(name)
    return family.published_input(own_name, weights)


def _family(name: str) -> tuple[Family, str]:
    """Whose model it is, and what it is called there."""
    if name in efficientnet_lite.MODELS:
        return efficientnet_lite, name
    for prefix, family in PREFIXES.items():
        if name.startswith(prefix):
            return family, name.removeprefix(prefix)
    return torchvision_models, name
