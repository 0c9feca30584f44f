"""What a fine-tuned network predicts for the test images, and its own temperature."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pipeline.artifacts import Prepared
from pipeline.cotuning.calibration import TemperatureFit, fit_temperature
from pipeline.datasets.batches import Preprocessing
from pipeline.params.sections import Evaluate
from pipeline.report.metrics import CALIBRATED, classification_metrics
from pipeline.training.compute import Compute
from pipeline.training.inference import predict_crops

TEMPERATURE_BOUNDS = (1 / 8, 8.0)


@dataclass(frozen=True)
class Judgement:
    """Of the test images.

    Attributes:
        predictions: a predictions table, see pipeline.report.metrics.
        temperature: the network's own, fitted on the validation images, in [1/8, 8].
    """

    predictions: pd.DataFrame
    temperature: TemperatureFit

    def metrics(self, classes: int) -> dict[str, float]:
        """Those of classification_metrics, own_temperature, and 1.0 where that is at its bound."""
        found = classification_metrics(self.predictions, classes)
        return found | {
            "own_temperature": self.temperature.temperature,
            "own_temperature_at_bound": float(self.temperature.at_bound),
        }


def judge(
    network: nn.Module,
    prepared: Prepared,
    preprocessing: Preprocessing,
    section: Evaluate,
    compute: Compute,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Judgement:
    """Predict the validation and the test images; the former give the temperature."""
    validation, test = (
        # The mean ranks as the sum does, and is as sure of itself as a single crop.
        predict_crops(
            *(network, prepared.split(split), preprocessing, section.crops),
            *(section.batch_size, compute, on_batch),
        )
        / section.crops
        for split in ("validation", "test")
    )
    own = own_temperature(validation, prepared.split("validation").labels)
    return Judgement(predictions_table(test, prepared.samples("test"), own.temperature), own)


def own_temperature(logits: Tensor, labels: np.ndarray) -> TemperatureFit:
    """The one in [1/8, 8] that suits a network's logits [N, classes] for validation images best.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
    """
    return fit_temperature(logits, torch.from_numpy(labels), TEMPERATURE_BOUNDS)


def predictions_table(logits: Tensor, samples: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """What the logits [N, classes] predict for N samples: columns of pipeline.report.metrics, path.

    Args:
        samples: columns row, path and label, in the order of the logits.
        temperature: the method's own, T > 0.
    """
    label = samples["label"].to_numpy()
    columns = {
        **{name: samples[name].to_numpy() for name in ("row", "path")},
        **{"label": label, "prediction": logits.argmax(dim=1).numpy()},
    }
    for prefix, divisor in (("", 1.0), (CALIBRATED, temperature)):
        log_probabilities = (logits.double() / divisor).log_softmax(dim=1).numpy()
        columns[f"{prefix}confidence"] = np.exp(log_probabilities.max(axis=1))
        columns[f"{prefix}nll"] = -log_probabilities[np.arange(len(label)), label]
    return pd.DataFrame(columns)
