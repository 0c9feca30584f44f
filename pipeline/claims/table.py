"""The claims table: cells over seeds as means, and what they differ by, seed by seed."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from scipy.stats import ttest_1samp

from pipeline.claims.power import smallest_effect
from pipeline.params.claims_sections import TuneMethods
from pipeline.params.methods import BASELINE, CO_TUNING
from pipeline.report.markdown import points, table

CONFIDENCE = 0.95
ENDS = ("low", "high", "visible")


def summarise(cells: pd.DataFrame) -> pd.DataFrame:
    """A row a sampling rate and row of the table, over the seeds.

    Args:
        cells: columns images_per_class, row, seed, accuracy, nll and calibrated_nll (empty where
            the training diverged). A rate's rows have the same seeds.

    Returns:
        Columns images_per_class, row, seeds, diverged, accuracy_mean, accuracy_sd (over seeds),
        nll_mean, calibrated_nll_mean, and the paired differences in accuracy to vanilla and to
        co-tuning: to_vanilla, to_vanilla_low, to_vanilla_high (95%, Student's t over seeds) and
        to_vanilla_visible (see paired), and likewise to_co_tuning; nll_to_vanilla and
        calibrated_nll_to_vanilla likewise, in nats.
        Differences are empty without a partner, intervals with fewer than two seeds.
    """
    groups = cells.groupby(["images_per_class", "row"], sort=False)
    accuracy, nll, calibrated = (
        {key: group.set_index("seed")[name] for key, group in groups}
        for name in ("accuracy", "nll", "calibrated_nll")
    )
    rows = []
    for (rate, row), group in groups:
        summary = {
            "images_per_class": rate,
            "row": row,
            "seeds": len(group),
            "diverged": int(group["accuracy"].isna().sum()),
            "accuracy_mean": group["accuracy"].mean(),
            "accuracy_sd": group["accuracy"].std(ddof=1),
            "nll_mean": group["nll"].mean(),
            "calibrated_nll_mean": group["calibrated_nll"].mean(),
        }
        for name, measure, other in (
            ("to_vanilla", accuracy, BASELINE),
            ("to_co_tuning", accuracy, CO_TUNING),
            ("nll_to_vanilla", nll, BASELINE),
            ("calibrated_nll_to_vanilla", calibrated, BASELINE),
        ):
            summary |= dict.fromkeys((name, *(f"{name}_{end}" for end in ENDS)))
            if row != other and (rate, other) in measure:
                summary |= paired(measure[rate, row] - measure[rate, other], name)
        rows.append(summary)
    return pd.DataFrame(rows)


def paired(differences: "pd.Series[float]", name: str) -> Mapping[str, float | None]:
    """Mean of paired differences, its 95% interval by Student's t, and the smallest mean that as
    many seeds of this scatter show with 80% (visible); columns begin with name.
    """
    differences = differences.dropna()
    low = high = visible = None
    if len(differences) > 1:
        low, high = ttest_1samp(differences, 0.0).confidence_interval(CONFIDENCE)
        visible = smallest_effect(float(differences.std()), len(differences))
    mean = float(differences.mean()) if len(differences) else None
    return {name: mean, f"{name}_low": low, f"{name}_high": high, f"{name}_visible": visible}


def render(
    summary: pd.DataFrame, steps: pd.DataFrame, settings: Mapping[str, Any], tuning: TuneMethods
) -> str:
    """The table in Markdown: methods by rate, variants of co-tuning, settings and cost.

    Args:
        summary: of summarise.
        steps: of time-steps; columns method, and ms, ratio, ratio_low and ratio_high of step_
            and inference_.
        settings: what tuning chose, by method.
    """
    methods = list(settings)
    parts = ["# The claims table", EXPLANATION]
    for rate, group in summary.groupby("images_per_class"):
        parts.append(f"## {rate} images a class, {group['seeds'].max()} seeds")
        parts.append(_accuracies(group[group["row"].isin(methods)]))
        variants = group[~group["row"].isin(methods)]
        if len(variants):
            parts += ["Variants of co-tuning:", _accuracies(variants, with_co_tuning=True)]
    parts += ["## Cost", _costs(steps), COST]
    parts += ["## Settings", _budget(tuning), _settings(settings, tuning)]
    return "\n\n".join(parts) + "\n"


EXPLANATION = (
    "Accuracy on the test images: mean and standard deviation over seeds. Differences are paired "
    "by seed, with their 95% interval (Student's t): accuracy in percentage points, NLL in nats. "
    "Visible: the difference in accuracy that as many seeds of this scatter show with 80%. "
    "Calibrated: at each model's own temperature, fitted on its validation images."
)
COST = (
    "One training step and one pass at inference, on one batch; all methods in turns. Ratios to "
    "vanilla in the same turn: median and quartiles."
)


def _accuracies(rows: pd.DataFrame, with_co_tuning: bool = False) -> str:
    header = ["", "Accuracy", "To vanilla", "Visible", "NLL (nats)", "NLL to vanilla"]
    header.append("Calibrated NLL to vanilla")
    lines = []
    for _, row in rows.iterrows():
        deviation = f" ± {100 * row['accuracy_sd']:.1f}" if pd.notna(row["accuracy_sd"]) else ""
        if row["diverged"] == row["seeds"]:
            cells = [row["row"], *[""] * (len(header) - 1)]
        else:
            cells = [row["row"], f"{100 * row['accuracy_mean']:.1f}%{deviation}"]
            visible = row["to_vanilla_visible"]
            cells.append(_difference(row, "to_vanilla"))
            cells.append("" if pd.isna(visible) else f"{100 * visible:.1f}")
            cells.append(f"{row['nll_mean']:.3f}")
            for name in ("nll_to_vanilla", "calibrated_nll_to_vanilla"):
                cells.append(_difference(row, name, "{:+.3f}".format))
        if with_co_tuning:
            cells.append(_difference(row, "to_co_tuning"))
        if row["diverged"]:
            cells[0] += f" ({row['diverged']} diverged)"
        lines.append(cells)
    return table(header + ["To co-tuning"] * with_co_tuning, lines)


def _difference(
    row: "pd.Series[float]", name: str, written: Callable[[float], str] = points
) -> str:
    if pd.isna(row[name]):
        return ""
    if pd.isna(row[f"{name}_low"]):
        return written(row[name])
    low, high = written(row[f"{name}_low"]), written(row[f"{name}_high"])
    return f"{written(row[name])} ({low} to {high})"


def _costs(steps: pd.DataFrame) -> str:
    lines = []
    for _, row in steps.iterrows():
        cells = [row["method"]]
        for kind in ("step", "inference"):
            ratio, low, high = (row[f"{kind}_ratio{end}"] for end in ("", "_low", "_high"))
            cells += [f"{row[f'{kind}_ms']:.1f}", f"{ratio:.3f} ({low:.3f} to {high:.3f})"]
        lines.append(cells)
    return table(["", "Step (ms)", "Ratio to vanilla", "Inference (ms)", "Ratio to vanilla"], lines)


def _budget(tuning: TuneMethods) -> str:
    tuned = [method for method in tuning.candidates if len(tuning.combinations(method)) > 1]
    if not tuned:
        return "Nothing was tuned; what is not named here has its default."
    rate = tuning.rate
    return (
        f"Chosen by validation NLL among {len(tuning.combinations(tuned[0]))} candidates for "
        f"each method, trained for {rate.steps} steps on {rate.images_per_class} images a class, "
        f"{len(tuning.seeds)} seed(s) that are not in the table; then used at every rate."
    )


def _settings(settings: Mapping[str, Any], tuning: TuneMethods) -> str:
    rows = []
    for method, values in settings.items():
        names = tuning.candidates.get(method, {"learning_rate": []})
        chosen = (f"{name} {_written(_at(values, name))}" for name in names)
        rows.append([method, ", ".join(chosen)])
    return table(["Method", "Chosen"], rows)


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values[part]
    return values


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
