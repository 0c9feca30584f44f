"""Pictures of a control whose answer is known: the gain over vanilla, and what was recovered."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from pipeline.claims.figures import logarithmic, points_with_interval
from pipeline.claims.sweep import MEASURES
from pipeline.report.figures import BLUE, DPI, FURTHER_COLOURS, GREY, styled

LABELS = {
    "images_per_class": "images a class",
    "steps": "steps of training",
    "learning_rate": "learning rate",
    "source_weight": "source weight",
    "input_size": "input size (pixels)",
}
COLOURS = (BLUE, *FURTHER_COLOURS, "#444444", "#a6761d", "#999999", "#000000", "#66a61e")
MARKERS = "osD^vPX*<>h"
LINEAR = 10.0  # points; beyond it the axis is logarithmic, so that controls squash nothing


@styled()
def gain_by_setting(gains: pd.DataFrame) -> Figure:
    """A panel a setting: gain over vanilla, in points with 95% intervals, by what teaches.

    Args:
        gains: of sweep.sweep_gains.
    """
    settings = list(gains["setting"].unique())
    figure = Figure(figsize=(1.0 + 3.6 * len(settings), 4.8), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    styles = _styles(list(gains["taught_by"].unique()))
    for axes, setting in zip(panels, settings, strict=True):
        shown = gains[gains["setting"] == setting].sort_values("value")
        for place, (label, style) in enumerate(styles.items()):
            rows = shown[shown["taught_by"] == label]
            x = rows["value"] * 1.02 ** (place - len(styles) / 2)  # bars side by side
            gain, around = points_with_interval(rows, "gain")
            axes.errorbar(x, gain, around, label=label, capsize=2, elinewidth=0.8, **style)
        axes.axhline(0, color=GREY, linewidth=1.2, linestyle="--", zorder=0)
        logarithmic(axes, sorted(shown["value"].unique()), LABELS[setting])
    panels[0].set(ylabel="gain over vanilla (points, 95% interval)")
    show_points(panels[0])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


@styled()
def recovery_by_images(recovered: pd.DataFrame) -> Figure:
    """Mass on the true categories, and divergence from the true R, by images a class.

    Bars are standard deviations over seeds.

    Args:
        recovered: of sweep.recovery.
    """
    figure = Figure(figsize=(9.0, 4.4), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2)
    styles = _styles(list(recovered["taught_by"].unique()))
    measures = {
        "recovered_mass": "share on the true categories",
        "divergence_from_truth": "KL(true || learned), nats",
    }
    for axes, (measure, label) in zip(panels, measures.items(), strict=True):
        for way, style in styles.items():
            rows = recovered[recovered["taught_by"] == way].sort_values("images_per_class")
            errors = rows[f"{measure}_sd"].fillna(0)
            axes.errorbar(rows["images_per_class"], rows[measure], errors, label=way, **style)
        logarithmic(axes, sorted(recovered["images_per_class"].unique()), "images a class")
        axes.set(ylabel=label, ylim=(0, None))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


@styled()
def seen_by_input_size(found: pd.DataFrame) -> Figure:
    """Gain over the shuffled R, knowledge of R, LEEP and accuracy of g against input size.

    Bars are the 95% interval of the gain, else standard deviations over seeds.

    Args:
        found: of sweep.by_input_size.
    """
    figure = Figure(figsize=(13.0, 3.6), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 4)
    titles = ("Gain over shuffled R (points)", "Knowledge of R (nats)", "LEEP (nats)")
    style = {"color": BLUE, "marker": "o", "markersize": 4, "capsize": 2}
    sizes = found["input_size"]
    for axes, title, measure in zip(
        panels, (*titles, "Accuracy of g"), ("gain", *MEASURES), strict=True
    ):
        values, around = points_with_interval(found, "gain")
        if measure != "gain":
            values, around = found[measure], [found[f"{measure}_sd"].fillna(0)] * 2
        axes.errorbar(sizes, values, around, **style)
        logarithmic(axes, sorted(sizes), LABELS["input_size"])
        axes.set(title=title)
    for axes in panels[:2]:
        axes.axhline(0, color=GREY, linewidth=1.2, linestyle="--", zorder=0)
    return figure


def show_points(axes: Axes) -> None:
    """A vertical axis of percentage points on which large losses squash no small gain."""
    axes.set_yscale("symlog", linthresh=LINEAR)
    ticks = (-50, -20, -10, -5, 0, 5, 10, 20)
    axes.set_yticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())


def _styles(labels: Sequence[str]) -> dict[str, dict[str, object]]:
    return {
        label: {
            **{"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]},
            **{"markersize": 4, "linewidth": 1.4},
        }
        for place, label in enumerate(labels)
    }
