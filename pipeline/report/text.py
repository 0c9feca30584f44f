"""The report as text: from what the stages found to Markdown."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.datasets.sizes import warn_of_size
from pipeline.report.markdown import escape, points, table
from pipeline.report.metrics import CALIBRATED
from pipeline.report.paired import PairedDifference
from pipeline.report.results import Results
from pipeline.report.text_answer import answer, p_value
from pipeline.report.text_search import search_section
from pipeline.report.text_seeing_why import seeing_why

CALIBRATION_METHODS = {
    "target-likelihood": "it explains the labels of held-out target images best",
    "source-validation": "it has the lowest NLL on labelled images of the source categories",
    "fixed": "it is given in params.yaml",
}


def render_report(results: Results) -> str:
    """The whole report in Markdown; the answer comes first."""
    sections = (
        *(answer, _methods, tuning, calibration, _relationship),
        *(seeing_why, training, making),
    )
    parts = (part for section in sections for part in section(results))
    return "\n\n".join(part for part in parts if part) + "\n"


def _methods(results: Results) -> Iterable[str]:
    yield "## Methods"
    rows = []
    for method, values in results.metrics.items():
        row = [method, *(_with_interval(n, values) for n in ("accuracy", "mean_class_accuracy"))]
        if results.differences:
            found = results.differences.get(method)
            row.append(_size(found) if found else "baseline")
        rows.append(row)
    last = ["Accuracy to vanilla"] if results.differences else []
    yield table(["Method", "Accuracy", "Mean per-class accuracy", *last], rows)
    drawn = "samples, then the" if len(results.params.fine_tune.seeds) > 1 else "the test"
    yield f"In parentheses: 95% intervals, from resampling {drawn} images."
    yield results.picture("comparison.png", "Test accuracy of each method")
    for method in results.metrics:
        yield results.picture(f"confusion-matrix-{method}.png", f"Confusions of {method}")
    yield from likelihood(results)


def likelihood(results: Results) -> Iterable[str]:
    """NLL and ECE of each method, as it is and at its own temperature."""
    yield "### How sure of themselves, and how rightly"
    kinds = [f"{prefix}{name}" for prefix in ("", CALIBRATED) for name in ("nll", "ece")]
    rows = []
    for method, values in results.metrics.items():
        bound = " (bound)" if values["own_temperature_at_bound"] else ""
        numbers = (_with_interval(name, values) for name in kinds)
        rows.append([method, f"{values['own_temperature']:.2f}{bound}", *numbers])
    header = ["Method", "Own temperature", "NLL (nats)", "ECE"]
    yield table([*header, "NLL at own temperature", "ECE at own temperature"], rows)
    if results.losses:
        yield "NLL less that of vanilla on the same images, in nats:"
        rows = [[method, *map(_loss, found.values())] for method, found in results.losses.items()]
        yield table(["Method", "As it is", "At own temperatures"], rows)
    yield (
        "A method may have the better likelihood only since it is less sure of itself. So each "
        "also gets the temperature that suits its predictions for the "
        f"{results.images('validation'):,} validation images best: what is left then of a "
        "difference in NLL is more than calibration."
    )


def tuning(results: Results) -> Iterable[str]:
    """What the search chose, and what it tried."""
    return search_section(
        results.best,
        results.trials,
        results.params.tune,
        results.temperature,
        results.picture("trials.png", "Gain of each candidate over vanilla"),
    )


def calibration(results: Results) -> Iterable[str]:
    """The source model's temperature, and what it was found to be worth."""
    yield "## Calibration of the source model"
    found = results.calibration
    reason = f"method `{found.method}`: {CALIBRATION_METHODS[found.method]}"
    yield f"T = {found.temperature:.4g}, by {reason}."
    if found.at_bound:
        yield (
            "> **Warning:** the optimum lies on the bound of the search, so the temperature means "
            "little. Set `calibrate.method: fixed`, or give more images."
        )
    where = "source" if found.method == "source-validation" else "target"
    yield f"Judged on the {where} validation images, by NLL; ECE need not fall with it:"
    rows = [
        ["T = 1", f"{found.nll_before:.4f}", f"{found.ece_before:.4f}"],
        [f"T = {found.temperature:.4g}", f"{found.nll_after:.4f}", f"{found.ece_after:.4f}"],
    ]
    yield table(["", "NLL (nats)", "ECE"], rows)
    yield results.picture("reliability.png", "Reliability before and after")


def _relationship(results: Results) -> Iterable[str]:
    yield "## Relationship"
    found = results.diagnostics
    way = f"{found['direction']} approach"
    if found["pseudo_samples"]:
        way += f" with {found['pseudo_samples']:g} pseudo-samples of the source marginal a row"
    if found["direction"] == "reverse":
        way += f", its classifier chosen by `{found['selection']}`"
    yield f"p(source category | target class), {way}, T = {results.temperature:.4g}."
    if warning := warn_of_size(results.params.source_model.name, results.sizes):
        yield f"> **Warning:** {escape(warning)}."
    yield results.picture("relationship.png", "Top source categories of each class")
    entropy = results.diagnostics["row_entropy"]
    rows = []
    for name, part in results.top_categories.groupby("class", sort=False):
        pairs = zip(part["category"], part["probability"], strict=True)
        top = "; ".join(f"{category} {share:.1%}" for category, share in pairs)
        rows.append([str(name), top, f"{entropy[str(name)]:.2f}"])
    yield table(["Class", "Top source categories", "Entropy (nats)"], rows)
    yield from diagnostics(results.diagnostics, len(results.classes))


def diagnostics(found: Mapping[str, Any], classes: int) -> Iterable[str]:
    """Warnings and scores of the relationship, found by fit-relationship."""
    yield "## Diagnostics"
    warnings = [f"> **Warning:** {escape(warning)}." for warning in found["warnings"]]
    yield from warnings or ["No warning."]
    similar, g = found["most_similar_rows"], found["classifier"]
    g_meaning = f"accuracy from source predictions alone; majority {g['majority_accuracy']:.1%}"
    pair = f"{similar['first']} and {similar['second']}"
    guess = f"{-np.log(classes):.3f} is guessing among {classes} equally frequent classes"
    rows = [
        *_knowledge(found["knowledge"]),
        ["LEEP", f"{found['leep']:.3f}", f"nats, at most 0; {guess}"],
        ["NCE", f"{found['nce']:.3f}", "nats, at most 0; the same from the top category alone"],
        ["Most similar rows", f"{similar['cosine']:.3f}", f"cosine of {pair}"],
        ["Classifier g", f"{g['validation_accuracy']:.1%}", g_meaning],
    ]
    yield table(["Score", "Value", "Meaning"], rows)


def _knowledge(found: Mapping[str, Any] | None) -> Iterable[list[str]]:
    if not found:
        return
    meaning = (
        f"nats that R explains held-out source predictions better by than their mean does "
        f"(standard error {found['standard_error']:.3f}); by it alone {found['accuracy']:.1%} of "
        "the classes are right"
    )
    yield ["Knowledge of R", f"{found['nats']:+.3f}", meaning]


def training(results: Results) -> Iterable[str]:
    """The epoch that was kept of each method."""
    yield "## Training"
    rows = []
    for method, history in results.histories.items():
        kept = history[history["kept"]].iloc[0]
        nll, accuracy = f"{kept['validation_nll']:.4f}", f"{kept['validation_accuracy']:.1%}"
        rows.append([method, f"{kept['epoch']:.0f} of {len(history)}", nll, accuracy])
    yield table(["Method", "Epoch kept", "Validation NLL (nats)", "Validation accuracy"], rows)
    yield results.picture("training.png", "Validation NLL and accuracy by epoch")


def making(results: Results) -> Iterable[str]:
    """Seeds, source model, data and training."""
    params, sizes = results.params, results.sizes
    source, data, training = params.source_model, params.prepare_data, params.fine_tune
    yield "## How it was made"
    splits = results.manifest["split"].value_counts(sort=False).items()
    schedule = f"learning rate {training.learning_rate:g}, {training.schedule}"
    rows = [
        ["Seeds", ", ".join(str(params.seed + seed) for seed in params.fine_tune.seeds)],
        ["Source model", f"{source.name}, weights {source.weights}"],
        ["Network input", f"{sizes.network_input} px, cut from images of {sizes.stored} px"],
        ["Data", f"{data.source}: " + ", ".join(f"{count:,} {split}" for split, count in splits)],
        ["Training", f"{training.length}, {training.batch_size} a batch, {schedule}"],
    ]
    yield table(["What", "Value"], rows)
    yield (
        "All numbers of the methods are in [comparison.csv](comparison.csv). `mlflow ui`, in the "
        "project's folder, shows the run of each stage; `cot lineage data/report/report.md` shows "
        "those behind this report; `dvc repro` makes it again."
    )


def _loss(interval: tuple[float, float, float]) -> str:
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(*interval)


def _size(found: PairedDifference) -> str:
    low, high = points(found.low), points(found.high)
    p = f", {p_value(found)}" if found.p_value is not None else ""
    return f"{points(found.difference)} points ({low} to {high}){p}"


def _with_interval(name: str, values: Mapping[str, Any]) -> str:
    numbers = [values[name], *values["intervals"][name]]
    if "accuracy" in name:
        return "{:.1%} ({:.1%} to {:.1%})".format(*numbers)
    return "{:.3f} ({:.3f} to {:.3f})".format(*numbers)
