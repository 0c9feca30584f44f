"""Every method compared with vanilla, on the predictions of every sample."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pandas as pd

from pipeline.params import Params
from pipeline.params.methods import BASELINE, CO_TUNING
from pipeline.report.class_gains import class_gains

T = TypeVar("T")
Predictions = Mapping[str, list[pd.DataFrame]]  # by method, of each sample


def to_baseline(predictions: Predictions, compare: Callable[..., T]) -> dict[str, T]:
    """What compare(vanilla's, the method's predictions) gives, of every method but vanilla; nothing
    where vanilla is not among the methods.
    """
    if BASELINE not in predictions:
        return {}
    return {
        method: compare(predictions[BASELINE], tables)
        for method, tables in predictions.items()
        if method != BASELINE
    }


def gains_of_classes(
    predictions: Predictions,
    classes: list[str],
    diagnostics: Mapping[str, Any],
    params: Params,
) -> pd.DataFrame:
    """Of co-tuning over vanilla on the first sample; empty where one of them is missing."""
    if not {BASELINE, CO_TUNING} <= predictions.keys():
        return pd.DataFrame()
    return class_gains(
        predictions[BASELINE][0],
        predictions[CO_TUNING][0],
        classes,
        diagnostics,
        params.report.bootstrap_resamples,
        params.seed,
    )
