"""Image classifiers of transformers as source models, from a local folder or its hub."""

from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor, nn

from pipeline.common.errors import UserError
from pipeline.sources.hub import require_on_hub
from pipeline.sources.source_model import (
    PublishedInput,
    SourceModel,
    Whole,
    cut,
    last_linear_layer,
    nearest_interpolation,
    without_classifier,
)
from pipeline.sources.transformers_library import load_transformers, not_loaded

EXTRA = "hf"


class Logits(nn.Module):
    """A model of transformers that gives its logits alone.

    Args:
        model: one of AutoModelForImageClassification.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Logits [batch, category] of images [batch, 3, height, width]."""
        logits: Tensor = self.model(pixel_values=images).logits
        return logits


def load(name: str, weights: str, input_size: int | None) -> SourceModel:
    """A classifier of transformers, with its own categories and normalisation.

    Args:
        name: of a model on the hub, or a folder with config.json and model.safetensors.
        weights: `published`: the model's own.
        input_size: side of its images in pixels; None for that of its image processor.

    Raises:
        UserError: see pipeline.sources.models.load_source_model.
    """
    if weights != "published":
        raise UserError(
            f"source_model.weights: got {weights!r}; hf:{name} brings its own: leave it "
            "`published`, or give another folder in source_model.name"
        )
    published = published_input(name, weights)
    transformers = load_transformers(EXTRA)
    try:
        model, found = transformers.AutoModelForImageClassification.from_pretrained(
            name, output_loading_info=True, trust_remote_code=False
        )
    except Exception as error:  # the hub's own, or of a damaged file of any kind
        raise not_loaded(f"hf:{name}", error) from None
    if missing := sorted(found["missing_keys"]):
        reason = f"brings no weights of {missing[0]}: it was trained without this classifier"
        raise without_classifier(f"hf:{name}", reason)
    head_name = last_linear_layer(model)
    names = model.config.id2label
    categories = tuple(str(names[index]) for index in range(len(names)))
    if not head_name or model.get_submodule(head_name).out_features != len(categories):
        raise UserError(
            f"source_model: hf:{name} does not end in one linear layer of its {len(categories)} "
            "categories, as distilled models do not; choose another model"
        )
    whole = Whole(Logits(model), f"model.{head_name}", categories, published, _for_classes)
    return cut(whole, f"hf:{name}", input_size or published.size)


def published_input(name: str, weights: str) -> PublishedInput:
    """What the model's image processor makes of an image.

    Raises:
        UserError: there is no such model, or transformers is not installed.
    """
    transformers = load_transformers(EXTRA)
    try:
        require_on_hub(name, "config.json")
        processor = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
        resized = _side(processor.size)
        cropped = getattr(processor, "do_center_crop", False)
        size = _side(processor.crop_size) if cropped else resized
        fraction = getattr(processor, "crop_pct", None) or (size / resized if cropped else 1.0)
        published = getattr(processor, "resample", None) or Image.Resampling.BILINEAR
        interpolation = nearest_interpolation(Image.Resampling(published).name)
        return PublishedInput(size, fraction, *_normalisation(processor), interpolation)
    except Exception as error:  # as above
        raise not_loaded(f"hf:{name}", error) from None


def _normalisation(processor: Any) -> tuple[Any, Any]:
    if not getattr(processor, "do_normalize", True):
        return (0.0,) * 3, (1.0,) * 3
    return tuple(processor.image_mean), tuple(processor.image_std)


def _side(size: Any) -> int:
    """Of what a processor calls size: a side, a height, or the shortest edge."""
    if isinstance(size, int):
        return size
    values = dict(size)
    return int(values.get("height") or values["shortest_edge"])


def _for_classes(model: nn.Module, classes: Sequence[str]) -> nn.Module:
    """The bare model of transformers, whose configuration names the classes."""
    assert isinstance(model, Logits)
    config: Any = model.model.config
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: number for number, name in enumerate(classes)}
    return model.model
