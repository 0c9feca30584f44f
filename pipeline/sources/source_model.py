"""A pre-trained classifier, cut into features and head, or given another head."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn

from pipeline.common.errors import UserError, one_line
from pipeline.common.interpolation import Interpolation
from pipeline.datasets.batches import CROP_FRACTION, Preprocessing

IMAGENET_CATEGORIES: tuple[str, ...] = tuple(
    torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
)
Channels = tuple[float, float, float]


class PublishedInput(NamedTuple):
    """The images that published weights are for.

    Attributes:
        size: side of the square that enters the network, in pixels.
        crop_fraction: that side as a share of the side of the resized image it is cut from.
        mean, std: per channel, of the normalisation of images in [0, 1].
        interpolation: by which images are resized.
    """

    size: int
    crop_fraction: float
    mean: Channels
    std: Channels
    interpolation: Interpolation


def nearest_interpolation(published: str) -> Interpolation:
    """The one of ours that is most like a published one, by its name in timm or Pillow.

    Lanczos is sharp as bicubic is. Weights that were trained with random ones are for either.
    """
    return "bicubic" if published.lower() in ("bicubic", "lanczos") else "bilinear"


# Makes of a model with another head what its own library gives for these classes.
Finish = Callable[[nn.Module, Sequence[str]], nn.Module]


def as_it_is(model: nn.Module, classes: Sequence[str]) -> nn.Module:
    """Of a library whose model is finished when its head is replaced."""
    return model


class Whole(NamedTuple):
    """A classifier that is not cut yet.

    Attributes:
        model: images to logits.
        head_name: of the linear layer that gives the logits, as in named_modules.
        categories: names of the source categories, in the order of the logits.
        finish: gets the model with another head, and the names of the classes.
    """

    model: nn.Module
    head_name: str
    categories: tuple[str, ...]
    published: PublishedInput
    finish: Finish = as_it_is


@dataclass(frozen=True)
class SourceModel:
    """A pre-trained classifier, cut in two: head(backbone(images)) is the whole model's output.

    Attributes:
        backbone: images [batch, 3, size, size] to features [batch, feature_size].
        head: features to source logits [batch, source].
        categories: names of the source categories, in the order of the logits.
        mean, std: per channel, of the normalisation of images in [0, 1].
        input_size: side of the square images that enter the network, in pixels.
        head_name: where the head was, as in the backbone's named_modules.
        finish: as of Whole.
        crop_fraction: as of PublishedInput.
    """

    backbone: nn.Module
    head: nn.Linear
    categories: tuple[str, ...]
    mean: Channels
    std: Channels
    input_size: int
    head_name: str = ""
    finish: Finish = as_it_is
    crop_fraction: float = CROP_FRACTION

    @property
    def feature_size(self) -> int:
        return self.head.in_features

    @property
    def preprocessing(self) -> Preprocessing:
        """How stored bytes become its input."""
        return Preprocessing(self.input_size, self.mean, self.std, crop_fraction=self.crop_fraction)

    def network(self) -> nn.Sequential:
        """The whole classifier, images to source logits."""
        return nn.Sequential(self.backbone, self.head)

    def deploy(
        self, backbone: nn.Module, target_head: nn.Linear, classes: Sequence[str]
    ) -> nn.Module:
        """A model of the source model's own family with the target head in the classifier's place.

        Its state dict is that of timm.create_model or torchvision.models.get_model with as many
        classes; a model of transformers can be saved by save_pretrained.

        Args:
            backbone: fine-tuned from this source model's; it and the head are copied.
            classes: names of the target classes, in the order of the logits.
        """
        whole = copy.deepcopy(backbone)
        whole.set_submodule(self.head_name, copy.deepcopy(target_head))
        return self.finish(whole, classes)


def cut(whole: Whole, name: str, input_size: int) -> SourceModel:
    """Cut a classifier, in place, before its head, and try it on one random image.

    What precedes the head (pooling, norms, hidden layers, dropout) stays with the features.

    Args:
        name: for messages.
        input_size: side of the square images that it will see, in pixels.

    Raises:
        UserError: the model refuses images of this size, or does more after its head than return
            the head's output.
    """
    model = whole.model.eval()
    image = torch.rand(1, 3, input_size, input_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        try:
            expected = model(image)
        except (AssertionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"source_model: {name} does not take images of input_size {input_size}: "
                f"{one_line(error)}"
            ) from None
        backbone, head = split(model, whole.head_name)
        if not _gives(backbone, head, image, expected):
            raise UserError(
                f"source_model: {name} does more after its last linear layer than return its "
                "output; choose another model"
            )
    return SourceModel(
        *(backbone, head, whole.categories, whole.published.mean, whole.published.std),
        *(input_size, whole.head_name, whole.finish, whole.published.crop_fraction),
    )


def split(model: nn.Module, head_name: str) -> tuple[nn.Module, nn.Linear]:
    """The model with an identity in the head's place, and the head, a linear layer."""
    head = model.get_submodule(head_name)
    assert isinstance(head, nn.Linear), "families name a linear layer"
    model.set_submodule(head_name, nn.Identity())
    return model, head


def _gives(backbone: nn.Module, head: nn.Linear, image: Tensor, expected: Tensor) -> bool:
    try:
        return torch.equal(head(backbone(image)), expected)
    except RuntimeError:  # what comes after the head wants the shape of its output
        return False


def without_classifier(name: str, reason: str) -> UserError:
    """Of a model that has no source categories.

    Args:
        reason: how one knows, as the predicate of a sentence about the model.
    """
    return UserError(
        f"source_model: {name} {reason}, and Co-Tuning needs source categories; choose a model "
        "with a classifier. Without one there is linear probing before fine-tuning (lp-ft)"
    )


def last_linear_layer(model: nn.Module) -> str:
    """The name of the last registered linear layer, "" where there is none."""
    linear = [name for name, module in model.named_modules() if type(module) is nn.Linear]
    return linear[-1] if linear else ""


def numbered_categories(count: int) -> tuple[str, ...]:
    """Names for categories of which only the number is known: for 1000 those of ImageNet."""
    if count == len(IMAGENET_CATEGORIES):
        return IMAGENET_CATEGORIES
    return tuple(f"category {index}" for index in range(count))
