"""What DVC shows of an experiment: few numbers, and tables that its plots lay over each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.cotuning.reliability import bin_confidences
from pipeline.report.metrics import CALIBRATION_BINS
from pipeline.report.paired import PairedDifference


def accuracies(
    metrics: Mapping[str, Mapping[str, Any]], gain: PairedDifference | None
) -> dict[str, float | dict[str, float]]:
    """Each method's test accuracy in [0, 1], and the 95% interval of Co-Tuning's gain over vanilla.

    Args:
        metrics: of each method, with an accuracy.
        gain: None where one of the two was not trained.
    """
    found = {method: values["accuracy"] for method, values in metrics.items()}
    return found if gain is None else found | {"gain": {"low": gain.low, "high": gain.high}}


def confusion_table(samples: Sequence[pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """A row a prediction: the names of the true_class and of the predicted_class.

    Args:
        samples: predictions of one method, of each sample.
        classes: names in label order.
    """
    names = pd.Series(list(classes), dtype=str)
    predictions = pd.concat(samples)
    return pd.DataFrame(
        {
            "true_class": names[predictions["label"]].to_numpy(),
            "predicted_class": names[predictions["prediction"]].to_numpy(),
        }
    )


def reliability_table(samples: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """A row a bin of confidence that has predictions: mean confidence, accuracy, images.

    Args:
        samples: predictions of one method, of each sample.
    """
    predictions = pd.concat(samples)
    right = (predictions["prediction"] == predictions["label"]).to_numpy(float)
    curve = bin_confidences(predictions["confidence"].to_numpy(), right, CALIBRATION_BINS)
    return pd.DataFrame(
        {"confidence": curve.confidence, "accuracy": curve.accuracy, "images": curve.count}
    )
