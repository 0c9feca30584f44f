"""A fine-tuned model with all that it needs to classify an image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.artifacts import Metrics, Store
from pipeline.common.interpolation import Interpolation
from pipeline.cotuning.model import CoTuningModel
from pipeline.datasets.batches import ImageSet, Preprocessing
from pipeline.params import Params
from pipeline.params.methods import BASELINE
from pipeline.sources.models import load_source_model
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.inference import predict_crops
from pipeline.training.judge import own_temperature
from pipeline.training.methods import new_model

BATCH = 64


@dataclass(frozen=True)
class TargetModel:
    """A fine-tuned model at work.

    Attributes:
        method: that it was fine-tuned by.
        model: with the weights of fine-tuning, in evaluation mode, on the device of compute.
        classes: names of the target classes, in the order of the target logits.
        source: the model that it was fine-tuned from, with its own weights.
        stored_size: side in pixels of the square that an image is resized to first.
        temperature: the model's own, > 0; probabilities are softmax(target logits / temperature).
        interpolation: by which an image is resized to that square.
    """

    method: str
    model: CoTuningModel
    classes: tuple[str, ...]
    source: SourceModel
    stored_size: int
    temperature: float
    compute: Compute
    interpolation: Interpolation = "bilinear"

    @property
    def preprocessing(self) -> Preprocessing:
        """From a square to what enters the network."""
        return self.source.preprocessing

    @property
    def network(self) -> nn.Sequential:
        """Network input to target logits."""
        return self.model.deploy()

    def probabilities(self, squares: np.ndarray) -> Tensor:
        """Calibrated probabilities [N, classes] in float32 of images, on the CPU.

        Args:
            squares: uint8 [N, stored_size, stored_size, 3].
        """
        return torch.softmax(self._logits(self.network, squares) / self.temperature, dim=1)

    def both_probabilities(self, squares: np.ndarray) -> tuple[Tensor, Tensor]:
        """By one pass through the backbone: what probabilities gives, and what the kept source
        head sees now, [N, source categories] in float32, both on the CPU.

        Args:
            squares: as of probabilities.
        """
        both = self._logits(_BothHeads(self.model), squares)
        logits, source_logits = both.tensor_split([len(self.classes)], dim=1)
        target = torch.softmax(logits / self.temperature, dim=1)
        return target, torch.softmax(source_logits, dim=1)

    def _logits(self, network: nn.Module, squares: np.ndarray) -> Tensor:
        places = np.arange(len(squares))
        images = ImageSet(squares, places, np.zeros_like(places))
        return predict_crops(network, images, self.preprocessing, 1, BATCH, self.compute)


class _BothHeads(nn.Module):
    """Network input to the logits of the target head, then those of the source head."""

    def __init__(self, model: CoTuningModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.model(images)
        return torch.cat([outputs.target_logits, outputs.source_logits], dim=1)


def load_target_model(store: Store, params: Params, method: str) -> TargetModel:
    """Put a fine-tuned model together from the artifacts of its stages.

    Its temperature is the one that evaluate fitted, on the validation images, where it judged
    centre crops; otherwise it is fitted here in the same way.

    Raises:
        UserError: an artifact is missing, or does not fit the source model of params.yaml.
    """
    store.require("fine-tune", method, "model.safetensors")
    classes, sizes = tuple(store.load_classes()), store.load_sizes()
    source = load_source_model(**params.source_model.model_dump())
    compute = resolve_compute(params.compute.device, params.compute.precision)
    model = new_model(source, len(classes), params.sample_seed)
    store.load_model(method, model, f"{len(classes)} classes on {params.source_model.name}")
    model.to(compute.device).eval()
    temperature = _temperature(store, params, method, model, source, compute)
    return TargetModel(
        *(method, model, classes, source, sizes.stored, temperature, compute, sizes.interpolation)
    )


def trained_method(store: Store, methods: Sequence[str], method: str | None) -> str:
    """The method to take: the given one, else what tune recommends, else the first trained.

    Args:
        methods: of fine_tune.

    Raises:
        UserError: no method was fine-tuned, or the given one was not.
    """
    if method is not None:
        store.require("fine-tune", method, "model.safetensors")
        return method
    trained = [
        name for name in methods if store.path("fine-tune", name, "model.safetensors").exists()
    ]
    if not trained:
        store.require("fine-tune", methods[0], "model.safetensors")
    found = store.load_best().recommendation
    preferred = [found.method, found.runner_up, BASELINE] if found else [BASELINE]
    return next((name for name in preferred if name in trained), trained[0])


def _temperature(
    store: Store,
    params: Params,
    method: str,
    model: CoTuningModel,
    source: SourceModel,
    compute: Compute,
) -> float:
    path = store.path("evaluate", method, "metrics.json")
    if params.evaluate.crops == 1 and path.exists():
        metrics = store.load_json(Metrics, "evaluate", method, "metrics.json")
        return float(metrics["own_temperature"])
    validation = store.load_prepared().split("validation")
    logits = predict_crops(model.deploy(), validation, source.preprocessing, 1, BATCH, compute)
    return own_temperature(logits, validation.labels).temperature
