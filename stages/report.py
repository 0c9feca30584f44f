"""Say whether Co-Tuning helped on this data, by how much, and how sure that is."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts import Diagnostics, Metrics, SourceHead, Store
from pipeline.artifacts.tables import HISTORY, PREDICTIONS, TOP_CATEGORIES, TRIALS
from pipeline.common.errors import UserError
from pipeline.common.files import copy_into, write_text
from pipeline.common.formats import write_csv, write_json
from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.params.methods import CO_TUNING
from pipeline.report.class_gain_figure import class_gain_panels
from pipeline.report.comparisons import Predictions, gains_of_classes, to_baseline
from pipeline.report.dvc_tables import accuracies, confusion_table, reliability_table
from pipeline.report.figures import method_comparison, save_figure, training_curves
from pipeline.report.metrics import bootstrap_intervals, mean_metrics
from pipeline.report.page import Exhibits, render_page
from pipeline.report.page_images import disputed_images
from pipeline.report.paired import (
    PairedDifference,
    comparison_table,
    paired_difference,
    paired_losses,
)
from pipeline.report.results import Results
from pipeline.report.text import render_report
from pipeline.report.text_answer import verdict
from pipeline.tracking.runs import StageRun, stage_run

log = logging.getLogger(__name__)

DISPUTED_IMAGES = 24  # on the page


def run(params: Params) -> None:
    store = Store(project_root(), params.sample)
    store.require_test_images()
    folder = store.folder("report")
    with stage_run(
        store.root, "report", params.report.model_dump(), _inputs(store, params), folder
    ) as run:
        results = gather(store, params, copy_pictures(store, params, folder))
        if not results.gains.empty:
            save_figure(class_gain_panels(results.gains), folder / "class-gains.png")
        intervals = {
            method: (values["accuracy"], *values["intervals"]["accuracy"])
            for method, values in results.metrics.items()
        }
        save_figure(method_comparison(intervals), folder / "comparison.png")
        save_figure(training_curves(results.histories), folder / "training.png")
        compared = comparison_table(results.metrics, results.differences)
        write_csv(folder / "comparison.csv", compared)
        text, page = render_report(results), render_page(results, load_exhibits(store, params))
        for name, content in (("report.md", text), ("report.html", page)):
            write_text(folder / name, content)
        save_for_dvc(results, folder)
        if difference := results.differences.get(CO_TUNING):
            _announce(difference, run)
        run.conclude(text, headline(results))
        log.info(
            "The report is %s, and as a page %s",
            *((folder / name).relative_to(store.root) for name in ("report.md", "report.html")),
        )


def headline(results: Results) -> dict[str, float]:
    """Accuracy and NLL of each method, as the pipeline's own metrics."""
    names = ("accuracy", "nll", "calibrated_nll")
    return {
        f"{method} {name}": values[name]
        for method, values in results.metrics.items()
        for name in names
    }


def copy_pictures(store: Store, params: Params, folder: Path) -> set[str]:
    """Bring the other stages' pictures here; the names of all that the report may show."""
    sources = {
        "reliability.png": store.require_picture("calibrate", "reliability.png"),
        "relationship.png": store.require_picture("fit-relationship", "relationship.png"),
    }
    for method in params.fine_tune.methods:
        picture = store.require_picture("evaluate", method, "confusion_matrix.png")
        sources[f"confusion-matrix-{method}.png"] = picture
    if store.load_best().trials:
        sources["trials.png"] = store.require_picture("tune", "trials.png")
    copy_into(folder, sources)
    return {*sources, "comparison.png", "training.png", "class-gains.png"}


def save_for_dvc(results: Results, folder: Path) -> None:
    """What `dvc metrics`, `dvc exp show` and `dvc plots` read."""
    gain = results.differences.get(CO_TUNING)
    write_json(folder / "accuracy.json", accuracies(results.metrics, gain))
    for method, samples in results.predictions.items():
        confusion = confusion_table(samples, results.classes)
        write_csv(folder / f"confusion/{method}.csv", confusion)
        write_csv(folder / f"reliability/{method}.csv", reliability_table(samples))


def gather(store: Store, params: Params, pictures: set[str]) -> Results:
    """Read what the stages wrote, and compare the methods.

    Raises:
        UserError: an artifact is missing, or a method was judged on other images than these.
    """
    methods = params.fine_tune.methods
    best = store.load_best()
    predictions = {method: load_predictions(store, params, method) for method in methods}
    diagnostics = store.load_json(Diagnostics, "fit-relationship", "diagnostics.json")
    classes = store.load_classes()
    return Results(
        params=params,
        classes=classes,
        sizes=store.load_sizes(),
        manifest=store.load_manifest(),
        metrics={method: load_metrics(store, params, method, predictions) for method in methods},
        differences=to_baseline(
            predictions,
            partial(
                paired_difference, resamples=params.report.bootstrap_resamples, seed=params.seed
            ),
        ),
        losses=to_baseline(
            predictions,
            partial(paired_losses, resamples=params.evaluate.bootstrap_resamples, seed=params.seed),
        ),
        histories={
            method: store.load_table(HISTORY, "fine-tune", method, "history.csv")
            for method in methods
        },
        calibration=store.load_calibration(),
        best=best,
        trials=store.load_table(TRIALS, "tune", "trials.csv") if best.trials else pd.DataFrame(),
        diagnostics=diagnostics,
        top_categories=store.load_table(
            TOP_CATEGORIES, "fit-relationship", "top_categories.csv"
        ).fillna({"category": ""}),
        gains=gains_of_classes(predictions, classes, diagnostics, params),
        source_heads={
            method: store.load_json(SourceHead, "evaluate", method, "source_head.json")
            for method in methods
        },
        pictures=pictures,
        predictions=predictions,
    )


def load_predictions(store: Store, params: Params, method: str) -> list[pd.DataFrame]:
    """The predictions of a method, of each sample for exactly its test split.

    Raises:
        UserError: they are missing, or were made for other images or labels.
    """
    tables = []
    for sample in _samples(store, params):
        manifest = sample.load_manifest()
        wanted = manifest[manifest["split"] == "test"].set_index("row")["label"].sort_index()
        path = sample.path("evaluate", method, "predictions.csv")
        predictions = sample.load_table(PREDICTIONS, "evaluate", method, "predictions.csv")
        if not predictions.set_index("row")["label"].sort_index().equals(wanted):
            raise UserError(
                f"{path.relative_to(store.root)} is not of the present test split "
                f"({len(predictions)} images there, {len(wanted)} in the manifest); make it again "
                f"with `cot stage evaluate --method {method} --seed {sample.sample}`, or "
                "everything with `dvc repro`"
            )
        tables.append(predictions)
    return tables


def load_exhibits(store: Store, params: Params) -> Exhibits:
    """What the page shows beyond the results, of the first sample."""
    prepared = store.load_prepared()
    predictions = {
        method: store.load_table(PREDICTIONS, "evaluate", method, "predictions.csv")
        for method in params.fine_tune.methods
    }
    return Exhibits(
        store.load_relationship_array(),
        store.load_categories(),
        disputed_images(predictions, prepared.classes, prepared.images, DISPUTED_IMAGES),
    )


def load_metrics(
    store: Store, params: Params, method: str, predictions: Predictions
) -> dict[str, Any]:
    """As evaluate wrote them; of several samples the means, with intervals over all of it."""
    found = [
        sample.load_json(Metrics, "evaluate", method, "metrics.json")
        for sample in _samples(store, params)
    ]
    if len(found) == 1:
        return dict(found[0])
    classes, resamples = len(store.load_classes()), params.evaluate.bootstrap_resamples
    tables = predictions[method]
    return {
        **mean_metrics(tables, classes),
        "own_temperature": sum(one["own_temperature"] for one in found) / len(found),
        "own_temperature_at_bound": max(one["own_temperature_at_bound"] for one in found),
        "intervals": bootstrap_intervals(tables, classes, resamples, params.seed),
    }


def _samples(store: Store, params: Params) -> list[Store]:
    return [Store(store.root, seed) for seed in params.fine_tune.seeds]


def _inputs(store: Store, params: Params) -> list[Path]:
    methods, samples = params.fine_tune.methods, _samples(store, params)
    return [
        *(sample.require("prepare-data", "manifest.csv") for sample in samples),
        store.require("calibrate", "calibration.json"),
        store.require("tune", "best.json"),
        store.require("fit-relationship", "diagnostics.json"),
        store.require("fit-relationship", "relationship.safetensors"),
        *(store.require("fine-tune", method, "history.csv") for method in methods),
        *(store.require("evaluate", method, "source_head.json") for method in methods),
        *(
            sample.require("evaluate", method, name)
            for method in methods
            for sample in samples
            for name in ("metrics.json", "predictions.csv")
        ),
    ]


def _announce(difference: PairedDifference, run: StageRun) -> None:
    log.info(verdict(difference))
    run.log_metrics(
        {
            "accuracy_difference": difference.difference,
            "accuracy_difference_low": difference.low,
            "accuracy_difference_high": difference.high,
            "p_value": difference.p_value,
        }
    )
