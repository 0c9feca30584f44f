"""The figure of what co-tuning gains, class by class."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import Bbox

from pipeline.report.class_gains import rank_correlation
from pipeline.report.figures import BLUE, DPI, GREY, ORANGE, short_names, styled

NAMED_CLASSES = 20
PANELS = {
    "row_entropy": "entropy of the class's row of R (nats)",
    "g_accuracy": "accuracy of g on the class (validation split)",
}
NAME_SIZE = 8
LEADER = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
# Where a name may stand: its middle, in halves of its own size and in points from its point.
PLACES = [
    (right, up, distance)
    for distance in (6, 14, 24)
    for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
]


@styled()
def class_gain_panels(gains: pd.DataFrame) -> Figure:
    """Accuracy gained by class against the entropy of its row of R, and against g's accuracy.

    Up to 20 classes have their names and 95% intervals; a class without a value is left out of
    that panel.

    Args:
        gains: of class_gains, at least one class.
    """
    figure = Figure(figsize=(10.5, 5.0), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    gains = gains.assign(name=short_names(gains["class"].tolist()))
    for axes, (column, label) in zip(panels, PANELS.items(), strict=True):
        _draw_gains(axes, gains.dropna(subset=[column]), column)
        found = rank_correlation(gains, column)
        title = f"Spearman {found.coefficient:+.2f}, {found.classes} classes" if found else ""
        axes.set(xlabel=label, title=title)
        axes.margins(0.15, 0.06)
    named = len(gains) <= NAMED_CLASSES
    unit = "points, with 95% interval" if named else "points"
    panels[0].set_ylabel(f"accuracy gained over vanilla ({unit})")
    panels[1].xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    if named:
        figure.draw_without_rendering()  # names are placed in the panels' final layout
        for axes, column in zip(panels, PANELS, strict=True):
            _name_points(axes, gains.dropna(subset=[column]), column)
    return figure


def _draw_gains(axes: Axes, gains: pd.DataFrame, column: str) -> None:
    x, y = gains[column].to_numpy(), 100 * gains["difference"].to_numpy()
    colours = np.where(y > 0, BLUE, np.where(y < 0, ORANGE, GREY))
    axes.axhline(0, color=GREY, linewidth=1.2, linestyle="--", zorder=1)
    if len(gains) <= NAMED_CLASSES:
        low, high = 100 * gains["low"], 100 * gains["high"]
        axes.vlines(x, low, high, color=colours, linewidth=3, alpha=0.2)
    axes.scatter(x, y, 28, color=colours, alpha=0.9)


def _name_points(axes: Axes, gains: pd.DataFrame, column: str) -> None:
    """Write each name at the place where it covers least of points, names and the panel's edge."""
    pixels = DPI / 72  # a point
    x, y = gains[column].to_numpy(), 100 * gains["difference"].to_numpy()
    spots = axes.transData.transform(np.column_stack([x, y]))
    taken = [Bbox([spot, spot]).padded(4 * pixels) for spot in spots]
    for spot, value, gain, name in zip(spots, x, y, gains["name"], strict=True):
        size = _size(axes, name)
        boxes = [_place(spot, size, place, pixels) for place in PLACES]
        best = int(np.argmin([_covered(box, taken, axes.bbox) for box in boxes]))
        taken.append(boxes[best])
        offset = (boxes[best].min + size / 2 - spot) / pixels
        text = axes.annotate(
            name,
            (value, gain),
            (float(offset[0]), float(offset[1])),
            textcoords="offset points",
            arrowprops=LEADER if PLACES[best][2] > PLACES[0][2] else None,
            fontsize=NAME_SIZE,
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
        text.set_in_layout(False)


def _size(axes: Axes, name: str) -> np.ndarray:
    """Width and height of a name, in pixels."""
    text = axes.text(0, 0, name, fontsize=NAME_SIZE)
    size = np.array(text.get_window_extent().size)
    text.remove()
    return size


def _place(spot: np.ndarray, size: np.ndarray, place: tuple[int, int, int], pixels: float) -> Bbox:
    right, up, distance = place
    middle = spot + np.array([right, up]) * (size / 2 + distance * pixels)
    return Bbox([middle - size / 2, middle + size / 2])


def _covered(box: Bbox, taken: list[Bbox], panel: Bbox) -> float:
    """Square pixels of the box that lie on what is taken or outside the panel."""
    inside = _overlap(box, panel)
    return box.width * box.height - inside + sum(_overlap(box, other) for other in taken)


def _overlap(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return both.width * both.height if both else 0.0
