"""A folder that AutoModelForImageClassification and AutoImageProcessor of transformers load.

The temperature is in its head, weight and bias divided by it, since transformers knows of none: the
softmax of its logits are the calibrated probabilities.
"""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.models import save_for_hf
from torch import nn

from pipeline.common.errors import UserError
from pipeline.common.formats import read_json, write_json
from pipeline.deployment.description import Description
from pipeline.deployment.exports import Answer
from pipeline.deployment.target_model import TargetModel
from pipeline.sources.efficientnet_lite import MODELS as LITE

PACKAGES: tuple[str, ...] = ("transformers",)
EXTRA = "hf"


def refuse(source: str) -> None:
    """What transformers does not load.

    Raises:
        UserError: it is a model of torchvision.
    """
    if source not in LITE and not source.startswith(("hf:", "timm:")):
        raise UserError(
            f"{source} is a model of torchvision, which transformers does not load; run "
            "`cot export weights`, or onnx, torch-export, mlflow"
        )


def write(model: TargetModel, description: Description, folder: Path) -> None:
    head = calibrated(model.model.target_head, model.temperature)
    own: Any = model.source.deploy(model.model.backbone, head, model.classes)
    if description.source_model["name"].startswith("hf:"):
        own.save_pretrained(folder)
        _processor(description).save_pretrained(folder)
        return
    _save_timm(own.to(memory_format=torch.contiguous_format), description, folder)


def calibrated(head: nn.Linear, temperature: float) -> nn.Linear:
    """A copy whose logits are divided by a temperature > 0."""
    divided = copy.deepcopy(head)
    with torch.no_grad():
        for values in divided.parameters():
            values.div_(temperature)
    return divided


def load(folder: Path) -> Answer:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    network = transformers.AutoModelForImageClassification.from_pretrained(
        folder, trust_remote_code=False
    ).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)

    @torch.inference_mode()
    def answer(squares: np.ndarray) -> np.ndarray:
        logits = network(**processor(list(squares), return_tensors="pt")).logits
        probabilities: np.ndarray = logits.softmax(dim=1).numpy()
        return probabilities

    return answer


def loading(description: Description) -> str:
    return """\
import transformers

classify = transformers.pipeline("image-classification", model=".")
for found in classify("image.jpg"):
    print(found["label"], found["score"])
"""


def _save_timm(own: nn.Module, description: Description, folder: Path) -> None:
    """As timm writes it for a hub, which timm and transformers read."""
    labels, data = {"label_names": list(description.classes)}, _data_config(description)
    save_for_hf(own, str(folder), labels, safe_serialization=True, data_config=data)
    config = read_json(folder / "config.json")
    # transformers gives the number of classes itself, and twice is an error.
    config.get("model_args", {}).pop("num_classes", None)
    write_json(folder / "config.json", config)


def _processor(description: Description) -> Any:
    """Of any model of transformers: resize to a square, cut its centre, normalise."""
    from transformers import CLIPImageProcessor

    stored, cropped = description.fitted_size, description.preprocessing["input_size"]
    return CLIPImageProcessor(
        size={"height": stored, "width": stored},
        crop_size={"height": cropped, "width": cropped},
        resample=Image.Resampling[description.interpolation.upper()].value,
        image_mean=list(description.preprocessing["mean"]),
        image_std=list(description.preprocessing["std"]),
    )


def _data_config(description: Description) -> dict[str, Any]:
    """The same in timm's words; "squash" resizes to a square without keeping the aspect."""
    values = description.preprocessing
    size = values["input_size"]
    return {
        "input_size": (3, size, size),
        "interpolation": description.interpolation,
        "mean": tuple(values["mean"]),
        "std": tuple(values["std"]),
        "crop_mode": "squash",
        "crop_pct": crop_share(size, description.fitted_size),
    }


def crop_share(cropped: int, stored: int) -> float:
    """A crop_pct from which timm, which rounds down, comes back to the stored size.

    >>> import math
    >>> all(math.floor(c / crop_share(c, s)) == s for c in range(8, 300) for s in range(c, 400))
    True
    """
    share = cropped / stored
    return share if math.floor(cropped / share) == stored else cropped / (stored + 0.5)
