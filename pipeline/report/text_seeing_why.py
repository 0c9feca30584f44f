"""The report's section on why co-tuning helped, or did not: class by class, and the source head."""

from collections.abc import Iterable

import pandas as pd

from pipeline.report.class_gains import rank_correlation
from pipeline.report.markdown import points, table
from pipeline.report.results import Results

LISTED_CLASSES = 20  # in full; of more, half so many from each end
TELLING_CLASSES = 30  # from so many on, a rank correlation is worth reading


def seeing_why(results: Results) -> Iterable[str]:
    """Nothing without co-tuning; without a vanilla to compare with, the source head alone."""
    if "co-tuning" not in results.source_heads:
        return
    yield "## Seeing why"
    if len(results.params.fine_tune.seeds) > 1:
        yield f"On the sample of seed {results.params.sample}."
    if not results.gains.empty:
        yield from _classes(results)
    yield from source_head(results)


def _classes(results: Results) -> Iterable[str]:
    gains = results.gains
    end = LISTED_CLASSES // 2
    if len(gains) <= LISTED_CLASSES:
        yield "Test accuracy of each class (recall), by what co-tuning gains over vanilla:"
        listed = gains
    else:
        yield (
            f"Test accuracy by class (recall): of {len(gains)} classes only the {end} to which "
            f"co-tuning helps most and the {end} that it helps least or hurts most."
        )
        listed = pd.concat([gains[:end], gains[-end:]])
    header = ["Class", "Test images", "vanilla", "co-tuning", "Difference in points"]
    yield table([*header, "Entropy of R (nats)", "Accuracy of g"], _rows(listed))
    if absent := len(results.classes) - len(gains):
        yield f"Classes without a test image, left out: {absent}."
    yield (
        "In parentheses: 95% intervals, each for its class alone; among many classes some leave "
        "out 0 by chance. Entropy of R: of the class's row; g: the classifier from source "
        "predictions alone, on the validation images of the class."
    )
    yield results.picture("class-gains.png", "Accuracy gained against entropy of R and g")
    yield _correlations(gains)


def _rows(gains: pd.DataFrame) -> Iterable[list[str]]:
    for gain in gains.to_dict("records"):
        difference, low, high = (points(gain[name]) for name in ("difference", "low", "high"))
        g = gain["g_accuracy"]
        yield [
            *(str(gain["class"]), f"{gain['images']:,}"),
            *(f"{gain['vanilla']:.1%}", f"{gain['co_tuning']:.1%}"),
            f"{difference} ({low} to {high})",
            *(f"{gain['row_entropy']:.2f}", "not known" if pd.isna(g) else f"{g:.0%}"),
        ]


def _correlations(gains: pd.DataFrame) -> str:
    names = {"row_entropy": "the entropy of R's row", "g_accuracy": "the accuracy of g"}
    found = {name: rank_correlation(gains, column) for column, name in names.items()}
    known = {name: one for name, one in found.items() if one is not None}
    if not known:
        return "Too few classes, or too equal ones, for a rank correlation."
    parts = " and ".join(f"{one.coefficient:+.2f} with {name}" for name, one in known.items())
    fewest = min(known.values(), key=lambda one: one.classes)
    remark = "" if fewest.classes >= TELLING_CLASSES else ", so this says little"
    return (
        f"Spearman's rank correlation of the gain: {parts}. Over {fewest.classes} classes that of "
        f"unrelated quantities scatters around 0 with a standard deviation of {fewest.chance:.2f}"
        f"{remark}."
    )


def source_head(results: Results) -> Iterable[str]:
    """How far the source heads are from R, where co-tuning is among the methods."""
    heads = results.source_heads
    found = heads["co-tuning"]
    before, after, uniform = (found[name]["mean"] for name in ("before", "after", "uniform"))
    yield "### The source head"
    yield (
        "How far the predictions of the kept source head are from the translated label: "
        "`KL(R[y] || softmax(source logits))`, mean over the "
        f"{results.images('validation'):,} validation images."
    )
    rows = [["before fine-tuning", f"{before:.2f}"]]
    rows += [[f"after {name}", f"{head['after']['mean']:.2f}"] for name, head in heads.items()]
    yield table(
        ["Source head", "KL (nats)"], [*rows, ["all categories equally likely", f"{uniform:.2f}"]]
    )
    moved = "moved" if after < before else "not moved"
    knows = "closer to R" if after < uniform else "no closer to R"
    yield (
        f"**The source head has {moved} towards R** in co-tuning: from {before:.2f} to "
        f"{after:.2f} nats, {knows} than a prediction that knows nothing ({uniform:.2f})."
    )
    if vanilla := heads.get("vanilla"):
        yield (
            "Vanilla fine-tuning never trains this head, but changes the features that it reads: "
            f"from {before:.2f} to {vanilla['after']['mean']:.2f} nats."
        )
