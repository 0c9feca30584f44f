"""A plain state dict of timm's or torchvision's own model with the target head."""

from pathlib import Path
from typing import Any

import timm
import torchvision
from safetensors.torch import load_file
from torch import nn

from pipeline.common.errors import UserError
from pipeline.common.tensors import write_tensors
from pipeline.deployment.classifier import Classifier, answers
from pipeline.deployment.description import Description, load_description
from pipeline.deployment.exports import Answer
from pipeline.deployment.target_model import TargetModel
from pipeline.sources.efficientnet_lite import MODELS as LITE
from pipeline.sources.torchvision_models import INCEPTIONS

PACKAGES: tuple[str, ...] = ()
EXTRA = "export"
FILE = "model.safetensors"


def refuse(source: str) -> None:
    """What is not of timm or torchvision.

    Raises:
        UserError: it is a model of transformers.
    """
    if source.startswith("hf:"):
        raise UserError(
            f"{source} is a model of transformers, whose form is hugging-face; "
            "run `cot export hugging-face`"
        )


def write(model: TargetModel, description: Description, folder: Path) -> None:
    own = model.source.deploy(model.model.backbone, model.model.target_head, model.classes)
    write_tensors(folder / FILE, own.state_dict())


def load(folder: Path) -> Answer:
    description = load_description(folder)
    library, name, options = _call(description)
    module: Any = timm if library == "timm" else torchvision.models
    network: nn.Module = getattr(module, _FUNCTIONS[library])(name, **options)
    network.load_state_dict(load_file(folder / FILE))
    classifier = Classifier(network.eval(), description.crop, description.temperature)
    return lambda squares: answers(classifier, squares)


def loading(description: Description) -> str:
    library, name, options = _call(description)
    arguments = ", ".join([f'"{name}"', *(f"{key}={value}" for key, value in options.items())])
    module = {"timm": "timm", "torchvision": "torchvision.models"}[library]
    size = description.preprocessing["input_size"]
    return f"""\
import safetensors.torch, torch, {module}

network = {module}.{_FUNCTIONS[library]}({arguments}).eval()
network.load_state_dict(safetensors.torch.load_file("{FILE}"))
images = torch.zeros(1, 3, {size}, {size})  # centre crops, normalised as above
probabilities = torch.softmax(network(images) / {description.temperature:.6g}, dim=1)
"""


_FUNCTIONS = {"timm": "create_model", "torchvision": "get_model"}


def _call(description: Description) -> tuple[str, str, dict[str, Any]]:
    """The library, the model's name in it, and the options that build it for the classes."""
    source, size = description.source_model["name"], description.preprocessing["input_size"]
    options: dict[str, Any] = {"num_classes": len(description.classes)}
    if source in LITE:
        return "timm", LITE[source].architecture, options
    if source.startswith("timm:"):
        name = source.removeprefix("timm:")
        config: Any = timm.get_pretrained_cfg(name)
        return "timm", name, options | ({"img_size": size} if config.fixed_input_size else {})
    if source in INCEPTIONS:
        options |= {"aux_logits": False, "transform_input": True, "init_weights": False}
    return "torchvision", source, options
