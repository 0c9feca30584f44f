"""Figures from plain data. Each function returns a Figure that no global state knows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipeline.common.files import write_aside
from pipeline.cotuning.reliability import ReliabilityCurve, expected_calibration_error

DPI = 144
GREY, BLUE, ORANGE = "#767676", "#0072B2", "#D55E00"
METHOD_COLOURS = {"vanilla": GREY, "co-tuning": BLUE}
FURTHER_COLOURS = (ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LABEL_PITCH = 0.14  # inches between tick labels that do not touch
LONGEST_NAME = 26  # characters
LABELLED_CLASSES, ANNOTATED_CLASSES = 40, 15
HEAT_MAP_COLUMNS, TOP_PER_CLASS = 50, 5


@contextmanager
def styled() -> Iterator[None]:
    with matplotlib.rc_context(
        {
            **{"font.family": "DejaVu Sans", "font.size": 9, "legend.frameon": False},
            **{"axes.titlesize": 11, "axes.titlelocation": "left", "axes.titlepad": 10},
            **{"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True},
            **{"axes.edgecolor": "#555555", "axes.grid": True, "grid.color": "#e6e6e6"},
            **{"text.parse_math": False, "text.usetex": False},
        }
    ):
        yield


@styled()
def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG whose bytes depend on the figure alone, whole or not at all."""
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=DPI, metadata={"Software": None})


@styled()
def reliability_diagram(before: ReliabilityCurve, after: ReliabilityCurve) -> Figure:
    """Accuracy against confidence; a point's area is its bin's share of the samples."""
    labels = "confidence (area of a point: share of the images)", "accuracy"
    figure, axes = new_figure(5.4, 5.6, "Reliability", *labels)
    axes.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=1, linestyle="--", label="calibrated")
    for curve, name, colour in (before, "before, T = 1", GREY), (after, "after", BLUE):
        label = f"{name}: ECE {expected_calibration_error(curve):.3f}"
        axes.plot(curve.confidence, curve.accuracy, color=colour, clip_on=False, label=label)
        area = 12 + 400 * curve.count / curve.count.sum()
        axes.scatter(curve.confidence, curve.accuracy, area, color=colour, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1.2)
    return figure


@styled()
def relationship_heat_map(
    relationship: np.ndarray, classes: Sequence[str], categories: Sequence[str]
) -> Figure:
    """R [target, source] as a picture: the top source categories of every class.

    Each class brings its five most probable categories, or fewer where they would be too many
    columns together; columns follow the order of the rows.
    """
    columns = top_columns(relationship)
    height, width = min(0.22 * len(classes) + 0.6, 11.0), min(0.22 * len(columns) + 1.6, 11.0)
    title = "Relationship: p(source category | target class)"
    size = width + 2.6, height + 2.4
    figure, axes = new_figure(*size, title, "source category", "target class")
    shown = relationship[:, columns]
    image = axes.imshow(shown, aspect="auto", cmap="Blues", norm=PowerNorm(0.5, 0))
    _name_ticks(axes.yaxis, short_names(classes), height)
    short = short_names(categories)
    _name_ticks(axes.xaxis, [short[column] for column in columns], width)
    colour_bar(figure, axes, image, "probability")
    return figure


@styled()
def confusion_matrix(
    true: np.ndarray, predicted: np.ndarray, classes: Sequence[str], title: str = "Confusion matrix"
) -> Figure:
    """Share of each true class [row] that is predicted as each class [column].

    Names are left out above 40 classes; a class without any image is an empty row.
    """
    count = len(classes)
    table = np.zeros((count, count))
    np.add.at(table, (true, predicted), 1)
    totals = table.sum(axis=1, keepdims=True)
    shares = np.ma.masked_invalid(np.divide(table, totals, where=totals > 0, out=table * np.nan))
    side = min(max(0.42 * count, 2.4), 7.0)
    figure, axes = new_figure(side + 2.2, side + 1.8, title, "predicted class", "true class")
    image = axes.imshow(shares, aspect="auto", cmap="Blues", norm=PowerNorm(0.6, 0, 1))
    if count <= LABELLED_CLASSES:
        _name_ticks(axes.yaxis, short_names(classes), side)
        _name_ticks(axes.xaxis, short_names(classes), side)
    if count <= ANNOTATED_CLASSES:
        for (row, column), share in np.ndenumerate(shares.filled(0)):
            colour = "white" if share > 0.5 else "#333333"
            text = f"{100 * share:.0f}" if share > 0.005 else ""
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.grid(visible=False)
    colour_bar(figure, axes, image, "share of the true class")
    return figure


@styled()
def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Validation NLL and accuracy by epoch of each method; the epoch that was kept is ringed.

    Args:
        histories: columns epoch, validation_nll (nats), validation_accuracy in [0, 1], kept.
    """
    figure = Figure(figsize=(9.0, 3.7), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2)
    colours = method_colours(histories)
    labels = {
        "validation_nll": "validation NLL (nats)",
        "validation_accuracy": "validation accuracy",
    }
    for axes, (column, label) in zip(panels, labels.items(), strict=True):
        for name, history in histories.items():
            x, y = history["epoch"].to_numpy(), history[column].to_numpy()
            axes.plot(x, y, marker="o", markersize=3, color=colours[name], label=name)
            kept = history["kept"].to_numpy()
            axes.scatter(x[kept], y[kept], 90, facecolor="none", edgecolor=colours[name])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(xlabel="epoch (ringed: the one kept)", title=label)
    panels[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    panels[0].legend()
    return figure


@styled()
def method_comparison(accuracies: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Test accuracy of each method with its interval.

    Args:
        accuracies: by method: accuracy and the ends of its 95% interval, in [0, 1].
    """
    figure, axes = new_figure(7.0, 1.2 + 0.6 * len(accuracies), "Test accuracy with 95% interval")
    for place, (name, (value, low, high)) in enumerate(accuracies.items()):
        colour = method_colours(accuracies)[name]
        axes.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.35)
        axes.plot(value, place, "o", color=colour, markersize=8, clip_on=False)
        text = f"{100 * value:.1f}%  [{100 * low:.1f}, {100 * high:.1f}]"
        axes.text(value, place - 0.18, text, ha="center", color=colour)
    low = min(low for _, low, _ in accuracies.values())
    high = max(high for _, _, high in accuracies.values())
    margin = max(0.35 * (high - low), 0.005)
    axes.set(xlim=(low - margin, min(high + margin, 1)), ylim=(len(accuracies) - 0.5, -0.7))
    axes.set_yticks(range(len(accuracies)), list(accuracies))
    axes.yaxis.set_tick_params(length=0, grid_alpha=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    return figure


def new_figure(
    width: float, height: float, title: str, xlabel: str = "", ylabel: str = ""
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot(title=title, xlabel=xlabel, ylabel=ylabel)


def colour_bar(figure: Figure, axes: Axes, drawn: ScalarMappable, label: str) -> None:
    place = axes.inset_axes((1.02, 0, 0.18 / figure.get_figwidth(), 1))
    figure.colorbar(drawn, cax=place, label=label, ticks=MaxNLocator(5)).outline.set_visible(False)


def method_colours(methods: Iterable[str]) -> dict[str, str]:
    """A colour for each method; vanilla and co-tuning have theirs always."""
    others = [method for method in methods if method not in METHOD_COLOURS]
    return METHOD_COLOURS | dict(zip(others, cycle(FURTHER_COLOURS), strict=False))


def top_columns(relationship: np.ndarray) -> list[int]:
    order = np.argsort(-relationship, axis=1, kind="stable")
    for top in range(min(TOP_PER_CLASS, relationship.shape[1]), 0, -1):
        columns = list(dict.fromkeys(order[:, :top].ravel().tolist()))
        if len(columns) <= HEAT_MAP_COLUMNS:
            break
    return columns


def short_names(names: Sequence[str]) -> list[str]:
    """The first of several synonyms, unless two share it; cut where it is long."""
    first = [name.partition(",")[0] for name in names]
    shared = Counter(first)
    chosen = [a if shared[a] == 1 else name for a, name in zip(first, names, strict=True)]
    return [n if len(n) <= LONGEST_NAME else n[: LONGEST_NAME - 1] + "\u2026" for n in chosen]


def _name_ticks(axis: XAxis | YAxis, names: Sequence[str], inches: float) -> None:
    """Name every tick, or only every n-th where the names would touch."""
    pitch = inches / len(names)
    step = int(np.ceil(LABEL_PITCH / pitch))
    axis.set_ticks(range(0, len(names), step), names[::step], fontsize=8 if pitch > 0.16 else 7)
    axis.set_tick_params(length=0, rotation=90 if isinstance(axis, XAxis) else 0)
    axis.grid(visible=False)
