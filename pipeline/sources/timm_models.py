"""timm's image classifiers as source models."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_data_config
from torch import Tensor, nn

from pipeline.common.errors import UserError, nearest, one_line
from pipeline.sources.hub import WEIGHTS, require_on_hub
from pipeline.sources.source_model import (
    IMAGENET_CATEGORIES,
    PublishedInput,
    SourceModel,
    Whole,
    cut,
    last_linear_layer,
    nearest_interpolation,
    numbered_categories,
    without_classifier,
)
from pipeline.sources.weights import does_not_fit, is_local, read_state

UNTRAINED = "was trained without a classifier (self-supervised, or a tower of images and text)"


def load(name: str, weights: str, input_size: int | None) -> SourceModel:
    """A model of timm's registry.

    Args:
        name: such as resnet50 or vit_base_patch16_224.augreg_in21k.
        weights: `published`, from timm's hub; a local state dict; or a local folder with the
            config.json and model.safetensors that timm writes for a hub.
        input_size: side of its images in pixels; None for the published one.

    Raises:
        UserError: see pipeline.sources.models.load_source_model.
    """
    config = _config(name, weights)
    size = input_size or config["input_size"][-1]
    options: dict[str, Any] = {}
    if config.get("fixed_input_size") and size != config["input_size"][-1]:
        options["img_size"] = size
    model: Any = _model(name, weights, config, options)
    categories = category_names(config, model.num_classes)
    whole = Whole(model, head_name(model, name), categories, published_of(config), for_classes)
    return cut(whole, f"timm:{name}", size)


def published_input(name: str, weights: str) -> PublishedInput:
    """The images that timm's published weights, or those of a local folder, are for.

    Raises:
        UserError: unknown name or folder.
    """
    return published_of(_config(name, weights))


def published_of(config: dict[str, Any]) -> PublishedInput:
    """From a pretrained_cfg of timm, whose defaults are timm's own."""
    resolved = resolve_data_config(pretrained_cfg=config)
    mean, std = tuple(resolved["mean"]), tuple(resolved["std"])
    interpolation = nearest_interpolation(resolved["interpolation"])
    size, fraction = resolved["input_size"][-1], resolved["crop_pct"]
    return PublishedInput(size, fraction, mean, std, interpolation)


def head_name(model: Any, name: str) -> str:
    """Where the linear classifier is, by what timm's model says of itself.

    Raises:
        UserError: it has none, several (distilled models), or one of another kind.
    """
    classifier = model.get_classifier()
    if isinstance(classifier, nn.Identity):
        raise without_classifier(f"timm:{name}", UNTRAINED)
    if isinstance(classifier, list | tuple | nn.ModuleList):
        raise UserError(
            f"source_model: timm:{name} has {len(classifier)} classifiers, as distilled models "
            "have, and Co-Tuning keeps one; choose another model"
        )
    place = next(path for path, module in model.named_modules() if module is classifier)
    if isinstance(classifier, nn.Linear):
        return place
    inner = last_linear_layer(classifier)
    if not inner:
        raise UserError(
            f"source_model: the classifier of timm:{name} is a {type(classifier).__name__}, "
            "which holds no linear layer to keep; choose another model"
        )
    return f"{place}.{inner}"


def category_names(config: dict[str, Any], classes: int) -> tuple[str, ...]:
    """Of the labels that weights were trained for: their own names, else timm's for that many."""
    labels = config.get("label_names")
    if labels and len(labels) == classes:
        descriptions = config.get("label_descriptions") or {}
        if isinstance(descriptions, dict):
            return tuple(str(descriptions.get(label, label)) for label in labels)
        return tuple(map(str, descriptions))
    subset = infer_imagenet_subset({"num_classes": classes})
    if classes == len(IMAGENET_CATEGORIES) or subset is None:
        return numbered_categories(classes)
    return tuple(ImageNetInfo(subset).label_descriptions())


def _model(name: str, weights: str, config: dict[str, Any], options: dict[str, Any]) -> nn.Module:
    if config.get("num_classes", 0) == 0:
        raise without_classifier(f"timm:{name}", UNTRAINED)
    overlay, state = dict(config), _state(weights)
    if state is not None:
        classes = _classes(config, state)
        overlay |= {"state_dict": state, "num_classes": classes, "label_offset": 0}
        options = options | {"num_classes": classes}
    try:
        if state is None and config.get("hf_hub_id"):
            require_on_hub(config["hf_hub_id"], *WEIGHTS)
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    except TypeError as error:
        raise UserError(
            f"source_model: timm:{name} takes images of its published size "
            f"{config['input_size'][-1]} alone ({error}); set source_model.input_size to auto"
        ) from None
    except Exception as error:  # the hub's own, the network's, or a state that does not fit
        if state is not None:
            raise does_not_fit(weights, f"timm:{name}", error) from None
        raise UserError(
            f"could not get the weights of timm:{name}: {one_line(error)[:160]}; fetch them on a "
            "machine with network access and set source_model.weights to the file's or folder's "
            "path"
        ) from None


def _config(name: str, weights: str) -> dict[str, Any]:
    """The pretrained_cfg: of the registry, or of a local folder for the same architecture."""
    if not timm.is_model(name):
        close = nearest(name, timm.list_models())
        raise UserError(
            f"source_model.name: timm has no {name!r}; did you mean timm:{close}? "
            "timm.list_models() lists them all"
        )
    registered: Any = timm.get_pretrained_cfg(name)
    config: dict[str, Any] = registered.to_dict()
    if weights == "published" or is_local(weights):
        return config
    file = Path(weights) / "config.json"
    if not file.is_file():
        raise UserError(
            f"source_model.weights: got {weights!r}; timm:{name} takes `published`, a local state "
            "dict (.safetensors, .pt, .pth), or a folder with config.json and model.safetensors"
        )
    try:
        own = json.loads(file.read_text(encoding="utf-8"))
        architecture, own_config = own.get("architecture", ""), dict(own.get("pretrained_cfg", {}))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} is damaged ({one_line(error)}); expected what timm writes beside its weights"
        ) from None
    if architecture != name.split(".")[0]:
        raise UserError(
            f"{file} is of {architecture or 'no architecture of timm'}; set source_model.name to "
            f"timm:{architecture or '<name>'}"
        )
    labels = {key: own[key] for key in ("num_classes", "label_names") if key in own}
    return config | own_config | labels


def _state(weights: str) -> dict[str, Tensor] | None:
    if weights == "published":
        return None
    path = Path(weights)
    return read_state(path if is_local(weights) else path / "model.safetensors")


def _classes(config: dict[str, Any], state: dict[str, Tensor]) -> int:
    """Of a state, by its classifier; as published where that has another name."""
    found = state.get(f"{config['classifier']}.weight")
    return int(config["num_classes"]) if found is None else len(found)


def for_classes(model: Any, classes: Sequence[str]) -> nn.Module:
    """A model whose head was replaced, as timm has it for so many classes."""
    model.num_classes = len(classes)
    return model
