"""Find the temperature of the masked language model on the words of this text."""

import torch.nn.functional as F

from pipeline.artifacts import Calibration
from pipeline.common.project import project_root
from pipeline.cotuning.calibration import reliability_curve
from pipeline.cotuning.reliability import expected_calibration_error
from pipeline.language.artifacts import TextStore
from pipeline.language.learning import find_word_temperature, head_logits
from pipeline.language.source import load_language_model
from pipeline.params import LanguageParams
from pipeline.report.figures import reliability_diagram, save_figure
from pipeline.tracking.runs import stage_run


def run(params: LanguageParams) -> None:
    store = TextStore(project_root(), params.sample)
    section, folder = params.calibrate, store.folder("calibrate")
    _, masked = store.load_states()
    head = load_language_model(params.source_model.name).head
    with stage_run(
        store.root,
        "calibrate",
        section.model_dump(),
        inputs=[store.require("extract-logits", "states.safetensors")],
        outputs=folder,
        of={"seed": params.sample},
    ) as run:
        logits, words = head_logits(head, masked.states), masked.sub_words
        fitted = find_word_temperature(section, logits, words)
        before, after = (
            F.log_softmax(logits.double() / temperature, dim=1)
            for temperature in (1.0, fitted.temperature)
        )
        curves = reliability_curve(before.exp(), words), reliability_curve(after.exp(), words)
        numbers = {
            "temperature": fitted.temperature,
            "nll_before": float(F.nll_loss(before, words)),
            "nll_after": float(F.nll_loss(after, words)),
            "ece_before": expected_calibration_error(curves[0]),
            "ece_after": expected_calibration_error(curves[1]),
        }
        store.save_calibration(
            Calibration(method=section.method, at_bound=fitted.at_bound, **numbers)
        )
        save_figure(reliability_diagram(*curves), folder / "reliability.png")
        run.log_metrics(numbers)
