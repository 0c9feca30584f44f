"""torchvision's classification models as source models."""

from http.client import HTTPException
from pathlib import Path

import torch
import torchvision
from torch import nn

from pipeline.common.errors import UserError, nearest
from pipeline.sources.efficientnet_lite import MODELS as LITE
from pipeline.sources.source_model import (
    IMAGENET_CATEGORIES,
    PublishedInput,
    SourceModel,
    Whole,
    cut,
    last_linear_layer,
    nearest_interpolation,
    numbered_categories,
)
from pipeline.sources.weights import does_not_fit, is_local, read_state

# Both give auxiliary logits while they train, and expect to renormalise what they are given.
INCEPTIONS = ("googlenet", "inception_v3")


def load(name: str, weights: str, input_size: int | None) -> SourceModel:
    """A model of torchvision's registry.

    Args:
        name: such as resnet50.
        weights: `published` (the newest), an entry such as IMAGENET1K_V1, or a local state dict.
        input_size: side of its images in pixels; None for the published one.

    Raises:
        UserError: see pipeline.sources.models.load_source_model.
    """
    whole = _with_local_weights(name, Path(weights)) if is_local(weights) else _whole(name, weights)
    if name in INCEPTIONS:
        _drop_auxiliary_heads(whole.model)
    if not whole.head_name:
        raise UserError(
            f"source_model: {name} ends in no linear layer, so it has no head to keep; choose "
            "another model"
        )
    return cut(whole, name, input_size or whole.published.size)


def published_input(name: str, weights: str) -> PublishedInput:
    """The images that an entry of published weights is for; of a local file those of the newest.

    Raises:
        UserError: unknown name or entry.
    """
    transforms = _entry(name, "published" if is_local(weights) else weights).transforms()
    (size,), (resized,) = transforms.crop_size, transforms.resize_size
    interpolation = nearest_interpolation(transforms.interpolation.value)
    mean, std = tuple(transforms.mean), tuple(transforms.std)
    return PublishedInput(size, size / resized, mean, std, interpolation)


def _whole(name: str, weights: str) -> Whole:
    entry = _entry(name, weights)
    try:
        model = torchvision.models.get_model(name, weights=entry)
    except (OSError, HTTPException, RuntimeError) as error:  # the last: a hash that differs
        raise UserError(
            f"could not download {entry.url}: {error}; fetch it on a machine with network "
            "access and set source_model.weights to the file's path"
        ) from None
    categories = tuple(entry.meta["categories"])
    return Whole(model, last_linear_layer(model), categories, published_input(name, weights))


def _with_local_weights(name: str, path: Path) -> Whole:
    published = published_input(name, str(path))
    state = read_state(path)
    with torch.device("meta"):  # only its layers' names are wanted
        head_name = last_linear_layer(_bare(name, 1))
    size = len(state.get(f"{head_name}.weight", IMAGENET_CATEGORIES))
    model = _bare(name, size)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise does_not_fit(path, name, error) from None
    return Whole(model, head_name, numbered_categories(size), published)


def _entry(name: str, weights: str) -> torchvision.models.WeightsEnum:
    entries = torchvision.models.get_model_weights(_known(name))
    # vgg16 has an entry without a head, which names no categories.
    usable = [key for key, entry in entries.__members__.items() if entry.meta["categories"]]
    if weights != "published" and weights not in usable:
        raise UserError(
            f"source_model.weights: got {weights!r}; {name} has {', '.join(usable)}, "
            "or give the path of a local state dict (.safetensors, .pt, .pth)"
        )
    return entries["DEFAULT" if weights == "published" else weights]


def _bare(name: str, classes: int) -> nn.Module:
    as_published = {"transform_input": True, "init_weights": False} if name in INCEPTIONS else {}
    return torchvision.models.get_model(name, weights=None, num_classes=classes, **as_published)


def _drop_auxiliary_heads(model: nn.Module) -> None:
    without = {"aux_logits": False, "AuxLogits": None, "aux1": None, "aux2": None}
    for name, value in without.items():
        if hasattr(model, name):
            setattr(model, name, value)


def _known(name: str) -> str:
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        close = nearest(name, [*LITE, *names])
        raise UserError(
            f"source_model.name: {name!r} is neither efficientnet-lite0 to -lite2 nor a "
            f"torchvision classification model; did you mean {close}? Others: timm:<name>, "
            "hf:<name or folder>"
        )
    return name
