"""What the report tells of the search, whatever the modality."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.artifacts import Best
from pipeline.params.methods import BASELINE, CO_TUNING, LINEAR_PROBE
from pipeline.params.sections import Tune
from pipeline.report.markdown import points, table
from pipeline.search.choice import CLEAR, CLOSE

NAMES = {
    BASELINE: "vanilla fine-tuning",
    CO_TUNING: "Co-Tuning",
    LINEAR_PROBE: "a linear probe",
}


@dataclass(frozen=True)
class Judged:
    """What was held out: `names` of it, and the `unit` of likelihood."""

    names: str
    unit: str


IMAGES = Judged("images", "nats an image")
SENTENCES = Judged("sentences", "nats a word")


def recommendation(best: Best, count: int, methods: Sequence[str], judged: Judged = IMAGES) -> str:
    """Which method what the search held out speaks for.

    Args:
        count: of what was held out in turn.
        methods: that were fine-tuned.
    """
    if best.recommendation is None:
        return (
            "No search ran (`tune.trials: 0`), so that only the test tells which method to take; "
            f"`tune.trials: 2` recommends one without looking at the test {judged.names}."
        )
    method, lead = best.recommendation.method, best.recommendation.lead
    place = f"`data/fine-tune/{method}`"
    if method not in methods:
        place = f"`fine_tune.methods` with {method} in it makes one"
    other = NAMES[best.recommendation.runner_up]
    recommended = f"**Recommended: {NAMES[method]}** ({place})"
    turns = f"Each of the {count:,} {judged.names} for training and validation was held out in turn"
    is_behind = lead.mean <= 0
    size, low, high = (-lead.mean, -lead.high, -lead.low) if is_behind else lead.with_interval
    most = (
        f"by likelihood, which says most, by {size:.3f} {judged.unit} (95% interval {low:+.3f} to "
        f"{high:+.3f})"
    )
    if is_behind:
        return (
            f"{recommended}, which takes seconds: {other} is not clearly better. {turns}, and of "
            f"those {other} predicted the classes better: {most}, less than two standard errors."
        )
    return (
        f"{recommended}, {_sureness(lead.mean, lead.standard_error)}. {turns}, and of those it "
        f"predicted the classes better than {other}, the next best: {most}."
    )


def search_section(
    best: Best,
    trials: pd.DataFrame,
    tune: Tune,
    temperature: float,
    picture: str,
    judged: Judged = IMAGES,
) -> Iterable[str]:
    """What the search chose, what it tried, and what that gained.

    Args:
        trials: of trials_table; of no column where none ran.
        temperature: the chosen one.
        picture: in Markdown, of the trials; empty where there is none.
    """
    yield "## Tuning"
    chosen = f"source weight {best.source_weight:.3g}, temperature {temperature:.3g}"
    if best.trials == 0:
        yield f"No search ran (`tune.trials: 0`); taken from params.yaml: {chosen}."
        return
    again = f" dealt out {tune.repeats} times" if tune.repeats > 1 else ""
    early = int((trials["state"] == "PRUNED").sum())
    yield (
        f"Chosen: {chosen}. Each candidate was trained as the final models are, on {tune.folds} "
        f"folds{again}, and judged on what was held out, its likelihood at its own temperature. "
        f"{best.trials} candidates, {early} of them stopped early as clearly "
        "worse. Of those that are not worse than the best by more than a standard error the one "
        "nearest to the default of params.yaml is taken."
    )
    complete = trials[trials["state"] == "COMPLETE"]
    yield table(
        ["Source weight", "Temperature", "NLL (nats)", "Accuracy", "Gain over vanilla (nats)"],
        (_candidate(trial) for trial in complete.itertuples()),
    )
    yield picture
    yield from _held_out_gains(best, judged)


def _held_out_gains(best: Best, judged: Judged) -> Iterable[str]:
    """What the methods gained over vanilla on what was held out."""
    others = "".join(f" and {NAMES[name]}" for name in best.gains if name != CO_TUNING)
    yield f"What the chosen source weight{others} gained over vanilla on these {judged.names}:"
    rows = [
        [
            name,
            "{:+.3f} ({:+.3f} to {:+.3f})".format(*gain.log_likelihood.with_interval),
            "{} ({} to {})".format(*map(points, gain.accuracy.with_interval)),
        ]
        for name, gain in best.gains.items()
    ]
    yield table(["Method", f"Likelihood, {judged.unit}", "Accuracy, points"], rows)


def _candidate(trial: Any) -> list[str]:
    gain = "baseline"
    if trial.source_weight:
        gain = f"{trial.gain:+.3f} ({trial.gain_low:+.3f} to {trial.gain_high:+.3f})"
    weight = f"{trial.source_weight:.3g}" if trial.source_weight else "0 (vanilla)"
    nll, accuracy = f"{trial.held_out_nll:.4f}", f"{trial.held_out_accuracy:.1%}"
    return [weight, f"{trial.temperature:.3g}", nll, accuracy, gain]


def _sureness(gain: float, error: float) -> str:
    if gain > CLEAR * error:
        return "on clear evidence: chance in what was held out would hardly do it"
    if gain > CLOSE * error:
        return "on weak evidence: chance in what was held out may have done it"
    return "on hardly any evidence: either method may be the better one, and not by much"
