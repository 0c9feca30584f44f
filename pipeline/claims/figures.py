"""Pictures of the claims table: accuracy by sampling rate, and what variants of co-tuning do."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from pipeline.params.methods import BASELINE, CO_TUNING
from pipeline.report.figures import BLUE, DPI, GREY, method_colours, styled

LEGEND_COLUMNS = 6
MARKERS = "os^Dv"  # of methods that share a colour


@styled()
def accuracy_by_rate(summary: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Mean accuracy of each method against images a class, and its difference to vanilla.

    Args:
        summary: of claims.summarise; bars are standard deviations on the left, 95% intervals of
            the paired differences on the right.
        methods: which of its rows are drawn.
    """
    figure = Figure(figsize=(10.5, 4.6), dpi=DPI, layout="constrained")
    with_differences = BASELINE in methods
    panels = figure.subplots(1, 1 + with_differences, squeeze=False)[0]
    colours = method_colours(methods)
    rates = sorted(summary["images_per_class"].unique())
    for place, method in enumerate(methods):
        rows = summary[summary["row"] == method].sort_values("images_per_class")
        # Bars of different methods stand side by side.
        x = rows["images_per_class"] * 1.03 ** (place - (len(methods) - 1) / 2)
        marker = MARKERS[[colours[other] for other in methods[:place]].count(colours[method])]
        style = {"color": colours[method], "marker": marker, "markersize": 4, "capsize": 2}
        style |= {"linewidth": 2.0 if method == CO_TUNING else 1.2, "elinewidth": 1.0}
        mean, deviation = 100 * rows["accuracy_mean"], 100 * rows["accuracy_sd"].fillna(0)
        panels[0].errorbar(x, mean, deviation, label=method, **style)
        if with_differences and method != BASELINE:
            panels[1].errorbar(x, *points_with_interval(rows, "to_vanilla"), **style)
    panels[0].set(title="Test accuracy (bars: standard deviation)", ylabel="accuracy (%)")
    if with_differences:
        panels[1].axhline(0, color=colours[BASELINE], linewidth=1.5, linestyle="--")
        panels[1].set(title="Difference to vanilla (bars: 95% interval)", ylabel="points")
    for axes in panels:
        logarithmic(axes, rates, "images a class")
    figure.legend(loc="outside lower center", ncols=min(len(methods), LEGEND_COLUMNS))
    return figure


def points_with_interval(
    rows: pd.DataFrame, name: str
) -> tuple["pd.Series[float]", list["pd.Series[float]"]]:
    """Differences of columns name, name_low, name_high in points, and how far the ends are."""
    mean, low, high = (100 * rows[f"{name}{end}"].astype(float) for end in ("", "_low", "_high"))
    return mean, [(mean - low).fillna(0), (high - mean).fillna(0)]


def logarithmic(axes: Axes, ticks: Sequence[float], label: str) -> None:
    """A horizontal axis whose values are all that it marks."""
    axes.set(xscale="log", xlabel=label)
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


@styled()
def variant_differences(summary: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Difference to vanilla of co-tuning and of each variant, with its 95% interval, by rate.

    Args:
        summary: of claims.summarise.
        methods: the rows that are no variants.
    """
    shown = summary[(summary["row"] == CO_TUNING) | ~summary["row"].isin(list(methods))]
    variants = shown[shown["row"] != CO_TUNING]
    rates = sorted(variants["images_per_class"].unique())
    names = [CO_TUNING, *variants["row"].unique()]
    size = 1.6 + (2.4 if len(rates) > 1 else 5.0) * len(rates), 1.4 + 0.3 * len(names)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(rates), squeeze=False, sharex=True, sharey=True)[0]
    for axes, rate in zip(panels, rates, strict=True):
        for _, row in shown[shown["images_per_class"] == rate].iterrows():
            place = names.index(row["row"])
            colour = BLUE if row["row"] == CO_TUNING else GREY
            ends = 100 * row[["to_vanilla_low", "to_vanilla_high"]].astype(float)
            axes.plot(ends, [place, place], color=colour, linewidth=5, alpha=0.35)
            axes.plot(100 * row["to_vanilla"], place, "o", color=colour, markersize=7)
        axes.axvline(0, color=GREY, linewidth=1.2, linestyle="--", zorder=0)
        axes.set_yticks(range(len(names)), names)
        axes.set(title=f"{rate} images a class", ylim=(len(names) - 0.5, -0.5))
        axes.yaxis.set_tick_params(length=0, grid_alpha=0)
    figure.supxlabel("difference to vanilla (points, 95% interval)", fontsize="medium")
    return figure
