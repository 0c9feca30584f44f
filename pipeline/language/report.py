"""The report on a project of text: from what the stages found to Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.artifacts import Best, Calibration
from pipeline.language.entities import SCORES, F1Difference
from pipeline.language.misses import HOW, Example
from pipeline.params import LanguageParams
from pipeline.params.methods import BASELINE, CO_TUNING
from pipeline.report.markdown import escape, points, table
from pipeline.report.text_search import SENTENCES, recommendation, search_section


@dataclass(frozen=True)
class TextResults:
    """What the report tells.

    Attributes:
        counts: of sentences of each split, of the first sample.
        metrics: by method, as in metrics.json, mean over samples.
        differences: by method, to vanilla, over samples; empty without vanilla.
        histories: by method, as in history.csv, of the first sample, as is all that follows.
        trials: of tune; empty where none ran.
        top_words: columns class, rank, category, probability.
        misses: by method.
        examples: sentences on which vanilla and co-tuning differ.
        pictures: names of the PNGs beside the report.
    """

    params: LanguageParams
    types: Sequence[str]
    counts: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, Any]]
    differences: Mapping[str, F1Difference]
    histories: Mapping[str, pd.DataFrame]
    calibration: Calibration
    best: Best
    trials: pd.DataFrame
    diagnostics: Mapping[str, Any]
    top_words: pd.DataFrame
    misses: Mapping[str, pd.DataFrame]
    examples: Sequence[Example]
    pictures: Sequence[str]


def render_text_report(results: TextResults) -> str:
    """The whole report; the answer comes first."""
    sections = (
        *(_answer, _methods, _types, _examples, _tuning),
        *(_relationship, _calibration, _making),
    )
    paragraphs = [part for section in sections for part in section(results)]
    return "\n\n".join(part for part in paragraphs if part) + "\n"


def verdict(difference: F1Difference, method: str = CO_TUNING) -> str:
    """One sentence on a method minus vanilla: better, worse or neither; how much; how sure."""
    size = (
        f"{points(difference.difference)} points of F1 (95% interval {points(difference.low)} to "
        f"{points(difference.high)})"
    )
    if not difference.exceeds_noise:
        return f"{method} makes no difference to {BASELINE} that exceeds the noise: {size}."
    word = "better" if difference.difference > 0 else "worse"
    return f"{method} is {word} than {BASELINE} fine-tuning beyond the noise: {size}."


def _answer(results: TextResults) -> Iterable[str]:
    difference = results.differences.get(CO_TUNING)
    yield "# Did Co-Tuning help?" if difference else "# Evaluation"
    counts, types = results.counts, ", ".join(results.types)
    if difference:
        labelled = counts["train"] + counts["validation"]
        yield recommendation(results.best, labelled, list(results.metrics), SENTENCES)
        yield f"**On the test: {verdict(difference)}**"
    yield (
        f"Judged on {counts['test']:,} test sentences, after training on {counts['train']:,} with "
        f"{counts['validation']:,} more for validation; entities of the types {types}. An entity "
        "is right where its type, beginning and end are, as conlleval counts."
    )
    seeds = results.params.fine_tune.seeds
    if difference and len(seeds) > 1:
        yield (
            f"{len(seeds)} samples were trained and judged; intervals cover them: samples are "
            "drawn again, then the sentences of each. Difference to vanilla in points of F1:"
        )
        rows = [
            [method, *map(points, found.by_sample), points(found.difference)]
            for method, found in results.differences.items()
        ]
        yield table(["Method", *(f"Seed {seed}" for seed in seeds), "Mean"], rows)
    elif difference:
        yield (
            "The noise meant here is which sentences were drawn for the test; chance in training "
            "comes on top. `fine_tune.seeds: [0, 1, 2]` draws and trains anew."
        )


def _methods(results: TextResults) -> Iterable[str]:
    yield "## Methods"
    rows = []
    for method, values in results.metrics.items():
        scores = [_with_interval(values, name) for name in SCORES]
        difference = results.differences.get(method)
        gain = _gain(difference) if difference else ""
        strict, accuracy = f"{values['strict_f1']:.1%}", f"{values['token_accuracy']:.1%}"
        rows.append([method, *scores, strict, accuracy, gain])
    header = ["Method", "Precision", "Recall", "F1", "Strict F1", "Words right", "F1 to vanilla"]
    yield table(header, rows)
    yield (
        "In parentheses: 95% intervals from resampling test sentences. Strictly, only what begins "
        "with B- is an entity."
    )
    yield results_picture(results, "training.png", "Validation NLL and accuracy by epoch")


def _types(results: TextResults) -> Iterable[str]:
    yield "## Types of entities"
    rows = [
        [name, method, *(f"{values['by_type'][name][score]:.1%}" for score in SCORES)]
        for name in results.types
        for method, values in results.metrics.items()
    ]
    yield table(["Type", "Method", "Precision", "Recall", "F1"], rows)
    yield (
        "What becomes of the true entities of the first sample's test: found; other type with the "
        "same bounds; overlapped by one of other bounds; not seen."
    )
    rows = [
        [row["type"], method, *(f"{row[how]:,}" for how in HOW)]
        for place in range(len(results.types))
        for method, counted in results.misses.items()
        for row in [counted.iloc[place]]
    ]
    yield table(["Type", "Method", *(how.capitalize() for how in HOW)], rows)


def _examples(results: TextResults) -> Iterable[str]:
    if not results.examples:
        return
    yield "## Sentences that the methods tag differently"
    for example in results.examples:
        lines = {"true": example.true, **example.by_method}
        yield "\n".join(f"- {name}: {escape(text)}" for name, text in lines.items())


def _tuning(results: TextResults) -> Iterable[str]:
    return search_section(
        results.best,
        results.trials,
        results.params.tune,
        results.calibration.temperature * results.best.temperature_factor,
        results_picture(results, "trials.png", "Gain of each candidate over vanilla"),
        SENTENCES,
    )


def _relationship(results: TextResults) -> Iterable[str]:
    yield "## Relationship"
    found, params = results.diagnostics, results.params
    observed = params.extract_logits.observed
    yield (
        f"p(word | type of entity), {found['direction']} approach, from what "
        f"{params.source_model.name} predicts where words of entities stand, the word itself "
        f"{observed}."
    )
    yield from (f"> **Warning:** {escape(warning)}." for warning in found["warnings"])
    rows = []
    for name, part in results.top_words.groupby("class", sort=False):
        pairs = zip(part["category"], part["probability"], strict=True)
        words = ", ".join(f"{word} {share:.1%}" for word, share in pairs)
        entropy, rest = found["row_entropy"][str(name)], found["rest"][str(name)]
        rows.append([str(name), words, f"{entropy:.2f}", f"{rest:.1%}"])
    yield table(["Type", "Top words", "Entropy (nats)", "Beyond those told apart"], rows)
    knowledge = found["knowledge"]
    if knowledge:
        yield (
            f"R explains held-out predictions better than their mean does by "
            f"{knowledge['nats']:+.3f} nats (standard error {knowledge['standard_error']:.3f}); by "
            f"it alone the types of {knowledge['accuracy']:.1%} of held-out words are right, by "
            f"g, the classifier, {found['g_accuracy']:.1%} on the validation sentences. Both "
            f"see the {found['told_apart']:,} categories that are told apart."
        )
    yield results_picture(results, "relationship.png", "Top words of each type")


def _calibration(results: TextResults) -> Iterable[str]:
    yield "## Calibration of the source model"
    found = results.calibration
    yield (
        f"T = {found.temperature:.4g}, method `{found.method}`. On masked words of the validation "
        f"sentences: NLL {found.nll_before:.3f} nats at T = 1, {found.nll_after:.3f} at this T; "
        f"ECE {found.ece_before:.3f} and {found.ece_after:.3f}."
    )
    yield results_picture(results, "reliability.png", "Reliability before and after")


def _making(results: TextResults) -> Iterable[str]:
    yield "## How it was made"
    params, training = results.params, results.params.fine_tune
    data = params.prepare_data
    schedule = (
        f"{training.optimizer}, learning rate {training.learning_rate:g}, {training.schedule}, "
        f"warm-up {training.warmup:.0%}"
    )
    batch = training.batch_size * training.accumulated_batches
    kept = {
        method: f"{history.loc[history['kept'], 'epoch'].iloc[0]:.0f} of {len(history)}"
        for method, history in results.histories.items()
    }
    rows = [
        ["Seeds", ", ".join(str(params.seed + seed) for seed in training.seeds)],
        ["Source model", f"{params.source_model.name}, {params.source_model.longest} sub-words"],
        ["Data", f"{data.source}, {data.root}"],
        ["Source weight", f"{results.best.source_weight:g}"],
        ["Training", f"{training.length}, {batch} sentences a step, {schedule}"],
        ["Epoch kept", ", ".join(f"{method} {epoch}" for method, epoch in kept.items())],
    ]
    yield table(["What", "Value"], rows)


def results_picture(results: TextResults, name: str, caption: str) -> str:
    return f"![{caption}]({name})" if name in results.pictures else ""


def _with_interval(values: Mapping[str, Any], name: str) -> str:
    low, high = values["intervals"][name]
    return f"{values[name]:.1%} ({low:.1%} to {high:.1%})"


def _gain(found: F1Difference) -> str:
    return f"{points(found.difference)} ({points(found.low)} to {points(found.high)})"
