"""The beginning of the report: which method to take, why, and how sure that is."""

from collections.abc import Iterable, Mapping

from pipeline.params.methods import BASELINE, CO_TUNING, LINEAR_PROBE
from pipeline.report.markdown import points, table
from pipeline.report.paired import PairedDifference
from pipeline.report.results import Results
from pipeline.report.text_search import NAMES, recommendation

METHODS = (
    "All start from the same pre-trained network. Vanilla fine-tuning replaces its last "
    "layer by a new one; Co-Tuning adds the new one and goes on teaching the old one, by what the "
    "source categories tell of each class. A linear probe trains the new layer alone, in seconds."
)


def answer(results: Results) -> Iterable[str]:
    """The recommendation, what the test says of it, and on how many images all of it stands."""
    difference = results.differences.get(CO_TUNING)
    yield "# Did Co-Tuning help?" if difference else "# Evaluation"
    if difference:
        images = results.images("train") + results.images("validation")
        yield recommendation(results.best, images, list(results.metrics))
        yield objection(results, images)
        yield f"**On the test: {verdict(difference)}** {conclusion(difference)}"
        if probe := results.differences.get(LINEAR_PROBE):
            yield verdict(probe, LINEAR_PROBE)
        yield METHODS
    yield (
        f"Judged on {results.images('test'):,} test images of {len(results.classes)} classes, "
        f"after training on {results.images_a_class('train')} images a class, with "
        f"{results.images_a_class('validation')} more for validation."
    )
    if difference and len(difference.by_sample) > 1:
        yield from _samples(results)
    elif difference:
        yield (
            f"Only co-tuning is right on {difference.only_second_right:,} test images, only "
            f"vanilla on {difference.only_first_right:,}. The noise meant here is which images "
            "were drawn for the test; chance in the sample and in training comes on top. Each "
            f"method was trained once, with seed {results.params.sample_seed}: "
            "`fine_tune.seeds: [0, 1, 2]` draws and trains anew."
        )


def objection(results: Results, images: int) -> str:
    """That the test speaks for another method than the recommended one, beyond the noise; else "".

    Args:
        images: on which the recommendation stands.
    """
    recommended = results.best.recommendation
    other = preferred_by_test(recommended.method, results.differences) if recommended else None
    if other is None:
        return ""
    samples = len(results.differences[CO_TUNING].by_sample)
    each = f" of each of {samples} samples" if samples > 1 else ""
    return (
        f"**But the test speaks for {NAMES.get(other, other)}** (`data/fine-tune/{other}`), beyond "
        f"the noise. It judged on {results.images('test'):,} images{each}, the search on "
        f"{images:,}: believe the test."
    )


def preferred_by_test(recommended: str, differences: Mapping[str, PairedDifference]) -> str | None:
    """The method that the test puts before the recommended one beyond the noise, if there is one.

    Args:
        differences: to vanilla, by method.
    """
    certain = {name: one.difference for name, one in differences.items() if one.exceeds_noise}
    if recommended != BASELINE:
        return BASELINE if certain.get(recommended, 0.0) < 0 else None
    best = max(certain, key=certain.__getitem__, default=BASELINE)
    return best if certain.get(best, 0.0) > 0 else None


def _samples(results: Results) -> Iterable[str]:
    seeds = results.params.fine_tune.seeds
    yield (
        f"That is of seed {seeds[0]}; {len(seeds)} samples were drawn, each with a training and "
        "test images of its own. Intervals here cover all three: samples are drawn again, then the "
        "images of each. Difference to vanilla in points of accuracy:"
    )
    rows = [
        [method, *map(points, found.by_sample), points(found.difference)]
        for method, found in results.differences.items()
    ]
    yield table(["Method", *(f"Seed {seed}" for seed in seeds), "Mean"], rows)


def verdict(difference: PairedDifference, method: str = CO_TUNING) -> str:
    """One sentence on a method minus vanilla: better, worse or neither; how much; how sure."""
    test = f", McNemar {p_value(difference)}" if difference.p_value is not None else ""
    size = (
        f"{points(difference.difference)} percentage points of test accuracy (95% interval "
        f"{points(difference.low)} to {points(difference.high)}{test})"
    )
    name = NAMES[method][0].upper() + NAMES[method][1:]
    if difference.exceeds_noise:
        word = "better" if difference.difference > 0 else "worse"
        return f"{name} is {word} than {BASELINE} fine-tuning beyond the noise: {size}."
    return f"{name} makes no difference to {BASELINE} that exceeds the noise: {size}."


def conclusion(difference: PairedDifference) -> str:
    """What may be concluded from it."""
    samples = len(difference.by_sample)
    seen = f"{samples} samples" if samples > 1 else "one sample"
    if not difference.exceeds_noise:
        return (
            f"So {seen} and these test images cannot tell which of them is better on data like "
            f"these: a difference between {points(difference.low)} and {points(difference.high)} "
            "points fits what was seen."
        )
    better = "Co-Tuning" if difference.difference > 0 else f"{BASELINE} fine-tuning"
    if samples > 1:
        return f"So on data like these {better} can be expected to be the better one."
    return f"So of these two models {better} gave the better one; {seen} says no more."


def p_value(difference: PairedDifference) -> str:
    """As in `p = 0.012`; empty where there is none."""
    p = difference.p_value
    if p is None:
        return ""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
