"""What the stages learn from the source model's logits: its temperature, and the relationship."""

from collections.abc import Mapping

from torch import Tensor

from pipeline.artifacts import SplitLogits
from pipeline.cotuning.calibration import (
    TemperatureFit,
    fit_target_likelihood_temperature,
    fit_temperature,
)
from pipeline.cotuning.relationship import Direction, ReverseClassifier, fit_relationship
from pipeline.params.sections import Calibrate


def find_temperature(
    section: Calibrate, splits: Mapping[str, SplitLogits], classes: int
) -> TemperatureFit:
    """The temperature by the method of the section; for `fixed` its likelihood is not judged."""
    if section.method == "fixed":
        return TemperatureFit(section.temperature, float("nan"), at_bound=False)
    if section.method == "source-validation":
        source = splits["source-validation"]
        return fit_temperature(source.logits, source.labels)
    train, validation = splits["train"], splits["validation"]
    return fit_target_likelihood_temperature(
        train.logits, train.labels, validation.logits, validation.labels, classes
    )


def learn_relationship(
    splits: Mapping[str, SplitLogits], classes: int, temperature: float, direction: Direction
) -> tuple[Tensor, ReverseClassifier]:
    """fit_relationship on the splits train and validation; R [target, source] in float64."""
    train, validation = splits["train"], splits["validation"]
    return fit_relationship(
        train.logits,
        train.labels,
        validation.logits,
        validation.labels,
        classes,
        temperature,
        direction,
    )
