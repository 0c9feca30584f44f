"""The source model's temperature, as the stages find it from its logits."""

from collections.abc import Mapping

from pipeline.artifacts import SplitLogits
from pipeline.cotuning.calibration import (
    TemperatureFit,
    fit_target_likelihood_temperature,
    fit_temperature,
)
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
