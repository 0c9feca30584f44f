"""What the stages found, as the report tells it."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import Best, Calibration
from pipeline.datasets.sizes import Sizes
from pipeline.params import Params
from pipeline.report.comparisons import Predictions
from pipeline.report.paired import PairedDifference


@dataclass(frozen=True)
class Results:
    """What the report tells; tables are as their stages wrote them.

    Attributes:
        manifest: of prepare-data, of the first sample, as is all that is not said to be of
            several; classes are its classes by name, in label order.
        metrics: by method, as in metrics.json, mean over samples.
        losses: by method, of nll and calibrated_nll the difference to vanilla and the ends of its
            95% interval, over samples; empty without vanilla.
        histories: by method, as in history.csv.
        differences: by method, to vanilla, over samples; empty without vanilla.
        trials: of tune; empty where none ran.
        gains: of class_gains; empty where co-tuning has no vanilla to be compared with.
        source_heads: by method, as in source_head.json.
        pictures: names of the PNGs beside the report; only these are linked.
        predictions: by method, of each sample.
    """

    params: Params
    classes: Sequence[str]
    sizes: Sizes
    manifest: pd.DataFrame
    metrics: Mapping[str, Mapping[str, Any]]
    differences: Mapping[str, PairedDifference]
    losses: Mapping[str, Mapping[str, tuple[float, float, float]]]
    histories: Mapping[str, pd.DataFrame]
    calibration: Calibration
    best: Best
    trials: pd.DataFrame
    diagnostics: Mapping[str, Any]
    top_categories: pd.DataFrame
    gains: pd.DataFrame
    source_heads: Mapping[str, Mapping[str, Any]]
    pictures: AbstractSet[str]
    predictions: Predictions = field(default_factory=dict)

    @property
    def temperature(self) -> float:
        """Of the source model, as the relationship was learned."""
        return self.calibration.temperature * self.best.temperature_factor

    def picture(self, name: str, caption: str) -> str:
        return f"![{caption}]({name})" if name in self.pictures else ""

    def images(self, split: str) -> int:
        return int((self.manifest["split"] == split).sum())

    def images_a_class(self, split: str) -> str:
        """`80`, or `64 to 80`."""
        labels = self.manifest["label"][self.manifest["split"] == split]
        counts = np.bincount(labels, minlength=len(self.classes))
        low, high = counts.min(), counts.max()
        return f"{low:,}" if low == high else f"{low:,} to {high:,}"
