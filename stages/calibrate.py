"""Find the temperature of the source model on this data."""

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from pipeline.artifacts import Calibration, SplitLogits, Store
from pipeline.common.errors import UserError
from pipeline.common.project import project_root
from pipeline.cotuning.calibration import reliability_curve
from pipeline.cotuning.diagnostics import leep_conditional, leep_log_predictor
from pipeline.cotuning.reliability import ReliabilityCurve, expected_calibration_error
from pipeline.params import Params
from pipeline.params.sections import Calibrate
from pipeline.sources.temperature import find_temperature
from pipeline.tracking.runs import stage_run


def run(params: Params) -> None:
    store = Store(project_root(), params.sample)
    section = params.calibrate
    splits = store.load_logits()
    if section.method == "source-validation" and "source-validation" not in splits:
        raise UserError(
            "calibrate.method is source-validation, and no source images were prepared; "
            "`dvc repro` prepares those of prepare_data.source_validation"
        )
    classes = len(store.load_classes())
    folder = store.folder("calibrate")
    with stage_run(
        store.root,
        "calibrate",
        section.model_dump(),
        inputs=[store.require("extract-logits", "logits.safetensors")],
        outputs=folder,
        of={"seed": params.sample},
    ) as run:
        fitted = find_temperature(section, splits, classes)
        before, labels = judged_predictions(section, splits, classes, 1.0)
        after, _ = judged_predictions(section, splits, classes, fitted.temperature)
        curves = reliability_curve(before.exp(), labels), reliability_curve(after.exp(), labels)
        calibration = Calibration(
            temperature=fitted.temperature,
            method=section.method,
            at_bound=fitted.at_bound,
            nll_before=float(F.nll_loss(before, labels)),
            nll_after=float(F.nll_loss(after, labels)),
            ece_before=expected_calibration_error(curves[0]),
            ece_after=expected_calibration_error(curves[1]),
        )
        store.save_calibration(calibration)
        draw(curves, folder / "reliability.png")
        run.log_metrics(
            {
                "temperature": calibration.temperature,
                "nll_before": calibration.nll_before,
                "nll_after": calibration.nll_after,
                "ece_before": calibration.ece_before,
                "ece_after": calibration.ece_after,
            }
        )


def draw(curves: tuple[ReliabilityCurve, ReliabilityCurve], path: Path) -> None:
    """The reliability before and after; matplotlib is loaded now, when all numbers are there."""
    from pipeline.report.figures import reliability_diagram, save_figure

    save_figure(reliability_diagram(*curves), path)


def judged_predictions(
    section: Calibrate, splits: dict[str, SplitLogits], classes: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and labels that show how well calibrated the temperature is.

    The source model's own on source images where there are any, else the target predictions
    of the LEEP predictor on the validation split.
    """
    if section.method == "source-validation":
        source = splits["source-validation"]
        return F.log_softmax(source.logits.double() / temperature, dim=1), source.labels
    train, validation = splits["train"], splits["validation"]
    conditional = leep_conditional(
        F.softmax(train.logits.double() / temperature, dim=1), train.labels, classes
    )
    probabilities = F.softmax(validation.logits.double() / temperature, dim=1)
    return leep_log_predictor(probabilities, conditional), validation.labels
