"""Say whether Co-Tuning helped on this text, by how much, and how sure that is."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts.tables import HISTORY, TOP_CATEGORIES, TRIALS
from pipeline.common.files import copy_into, write_text
from pipeline.common.formats import write_json
from pipeline.common.project import project_root
from pipeline.language.artifacts import TextStore
from pipeline.language.entities import (
    EntityCounts,
    Tags,
    count_entities,
    f1_difference,
    mean_scores,
    score_intervals,
)
from pipeline.language.misses import Example, disputed_sentences, misses
from pipeline.language.predictions import read_predictions, tags_by_sentence
from pipeline.language.report import TextResults, render_text_report, verdict
from pipeline.params import LanguageParams
from pipeline.params.methods import BASELINE, CO_TUNING
from pipeline.report.document import render_document
from pipeline.report.figures import save_figure, training_curves
from pipeline.tracking.runs import stage_run

log = logging.getLogger(__name__)

EXAMPLES = 8
Tables = dict[str, list[pd.DataFrame]]  # by method, of each sample


def run(params: LanguageParams) -> None:
    store = TextStore(project_root(), params.sample)
    folder = store.folder("report")
    with stage_run(
        store.root, "report", params.report.model_dump(), inputs_of(store, params), folder
    ) as run:
        results = gather(store, params, copy_pictures(store, folder))
        save_figure(training_curves(results.histories), folder / "training.png")
        text = render_text_report(results)
        pictures = {name: (folder / name).read_bytes() for name in results.pictures}
        write_text(folder / "report.md", text)
        write_text(folder / "report.html", render_document(text, pictures))
        names = ("precision", "recall", "f1", "token_accuracy")
        found = {
            method: {name: values[name] for name in names}
            for method, values in results.metrics.items()
        }
        write_json(folder / "scores.json", found)
        if difference := results.differences.get(CO_TUNING):
            log.info(verdict(difference))
            run.log_metrics({"f1_difference": difference.difference})
        run.conclude(
            text, {f"{method} f1": values["f1"] for method, values in results.metrics.items()}
        )
        log.info("The report is %s", (folder / "report.md").relative_to(store.root))


def gather(store: TextStore, params: LanguageParams, pictures: list[str]) -> TextResults:
    """Read what the stages wrote, and compare the methods.

    Raises:
        UserError: an artifact is missing, or a method was judged on other sentences than these.
    """
    prepared, methods = store.load_sentences(), params.fine_tune.methods
    best = store.load_best()
    samples = [TextStore(store.root, seed) for seed in params.fine_tune.seeds]
    tables: Tables = {
        method: [read_predictions(sample, method) for sample in samples] for method in methods
    }
    counts = {
        method: [count_entities(*tags_by_sentence(one), prepared.types) for one in of_samples]
        for method, of_samples in tables.items()
    }
    resamples = params.report.bootstrap_resamples
    own = {method: tags_by_sentence(of_samples[0]) for method, of_samples in tables.items()}
    return TextResults(
        params=params,
        types=prepared.types,
        counts={name: len(prepared.rows(name)) for name in ("train", "validation", "test")},
        metrics={method: metrics_of(samples, method, counts[method], params) for method in methods},
        differences={
            method: f1_difference(counts[BASELINE], counts[method], resamples, params.seed)
            for method in methods
            if method != BASELINE and BASELINE in methods
        },
        histories={
            method: store.load_table(HISTORY, "fine-tune", method, "history.csv")
            for method in methods
        },
        calibration=store.load_calibration(),
        best=best,
        trials=store.load_table(TRIALS, "tune", "trials.csv") if best.trials else pd.DataFrame(),
        diagnostics=store.load_json(dict[str, Any], "fit-relationship", "diagnostics.json"),
        top_words=store.load_table(TOP_CATEGORIES, "fit-relationship", "top_categories.csv").fillna(
            {"category": ""}
        ),
        misses={method: misses(*tags, prepared.types) for method, tags in own.items()},
        examples=examples(prepared.sentences_by_number("test"), own),
        pictures=pictures,
    )


def metrics_of(
    samples: list[TextStore], method: str, counts: list[EntityCounts], params: LanguageParams
) -> dict[str, object]:
    """As evaluate wrote them; of several samples the means, with intervals over all of it."""
    found = [
        sample.load_json(dict[str, Any], "evaluate", method, "metrics.json") for sample in samples
    ]
    if len(found) == 1:
        return dict(found[0])
    numbers = [name for name, value in found[0].items() if isinstance(value, float)]
    resamples = params.evaluate.bootstrap_resamples
    return {
        **{name: sum(one[name] for one in found) / len(found) for name in numbers},
        **mean_scores(counts),
        "by_type": {
            name: {
                score: sum(one["by_type"][name][score] for one in found) / len(found)
                for score in scores
            }
            for name, scores in found[0]["by_type"].items()
        },
        "intervals": score_intervals(counts, resamples, params.seed),
    }


def examples(
    tokens: dict[int, tuple[str, ...]], own: dict[str, tuple[Tags, Tags]]
) -> list[Example]:
    if not {BASELINE, CO_TUNING} <= own.keys():
        return []
    first, second = ((name, own[name][1]) for name in (BASELINE, CO_TUNING))
    return disputed_sentences(tokens, own[BASELINE][0], first, second, EXAMPLES)


def copy_pictures(store: TextStore, folder: Path) -> list[str]:
    """Bring the other stages' pictures here; the names of all that the report may show."""
    sources = {
        "reliability.png": store.require_picture("calibrate", "reliability.png"),
        "relationship.png": store.require_picture("fit-relationship", "relationship.png"),
    }
    if store.load_best().trials:
        sources["trials.png"] = store.require_picture("tune", "trials.png")
    copy_into(folder, sources)
    return [*sources, "training.png"]


def inputs_of(store: TextStore, params: LanguageParams) -> list[Path]:
    methods = params.fine_tune.methods
    samples = [TextStore(store.root, seed) for seed in params.fine_tune.seeds]
    return [
        store.require("calibrate", "calibration.json"),
        store.require("tune", "best.json"),
        store.require("fit-relationship", "diagnostics.json"),
        *(
            sample.require("evaluate", method, name)
            for method in methods
            for sample in samples
            for name in ("metrics.json", "predictions.csv")
        ),
    ]
