"""The pictures of the claims table: what they show, and that they can always be drawn."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from PIL import Image

from pipeline.claims.figures import accuracy_by_rate, variant_differences
from pipeline.claims.table import summarise
from pipeline.report.figures import save_figure

SIX = ("vanilla", "l2-sp", "delta", "bss", "stoch-norm", "co-tuning")
VARIANTS = ("lambda 0", "direct uncalibrated", "co-tuning+bss")
MANY = (*SIX, "co-tuning+bss", "co-tuning+delta", "l2-sp+bss", "co-tuning+l2-sp+stoch-norm")
RATES = (15, 30, 50, 100, 1000)


def new_summary(
    rows: Sequence[str] = SIX, rates: Sequence[int] = RATES, seeds: int = 3
) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = [
        (rate, row, seed, 0.6 + 0.01 * place + rng.normal(0, 0.01), 1.0, 1.0)
        for seed in range(seeds)
        for rate in rates
        for place, row in enumerate(rows)
    ]
    columns = ["images_per_class", "row", "seed", "accuracy", "nll", "calibrated_nll"]
    return summarise(pd.DataFrame(table, columns=columns))


def by_rate(rows: Sequence[str] = SIX, rates: Sequence[int] = RATES, seeds: int = 3) -> Figure:
    return accuracy_by_rate(new_summary(rows, rates, seeds), rows)


def by_variant(rates: Sequence[int], seeds: int = 3) -> Figure:
    return variant_differences(new_summary((*SIX, *VARIANTS), rates, seeds), SIX)


FIGURES = {
    "six methods": by_rate,
    "many methods": lambda: by_rate(MANY),
    "two methods": lambda: by_rate(("vanilla", "co-tuning")),
    "one method": lambda: by_rate(("co-tuning",)),
    "one rate": lambda: by_rate(rates=(20,)),
    "one seed": lambda: by_rate(seeds=1),
    "one rate, one seed": lambda: by_rate(rates=(20,), seeds=1),
    "variants": lambda: by_variant((30,)),
    "variants at two rates": lambda: by_variant((30, 100)),
    "variants, one seed": lambda: by_variant((30,), seeds=1),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_can_be_saved_and_its_bytes_repeat(tmp_path: Path, name: str) -> None:
    for file in ("first.png", "second.png"):
        save_figure(FIGURES[name](), tmp_path / file)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as image:
        assert len(image.getcolors(1 << 24) or []) > 10


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_and_no_tick_labels_touch(name: str) -> None:
    figure = FIGURES[name]()
    FigureCanvasAgg(figure).draw()
    whole = figure.bbox.padded(1)
    drawn = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert min(drawn.x0 - whole.x0, drawn.y0 - whole.y0) >= 0
    assert min(whole.x1 - drawn.x1, whole.y1 - drawn.y1) >= 0
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        texts = [label for label in axis.get_ticklabels() if label.get_text()]
        boxes = [text.get_window_extent() for text in texts]
        assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def bars(axes: Axes) -> dict[str, np.ndarray]:
    """By place: for each rate the value and both ends of its bar."""
    found = {}
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        line, _, (segments,) = container.lines
        ends = np.array([segment[:, 1] for segment in segments.get_segments()])
        found[line.get_color()] = np.column_stack([line.get_ydata(), ends]).astype(float)
    return found


def test_both_panels_show_the_numbers_of_the_summary() -> None:
    summary = new_summary(("vanilla", "bss", "co-tuning"))
    left, right = accuracy_by_rate(summary, ("vanilla", "bss", "co-tuning")).axes
    bars_left, bars_right = bars(left), bars(right)
    assert (len(bars_left), len(bars_right)) == (3, 2)
    for place, row in enumerate(("vanilla", "bss", "co-tuning")):
        chosen = summary[summary["row"] == row]
        mean, sd = chosen["accuracy_mean"], chosen["accuracy_sd"]
        expected = 100 * np.column_stack([mean, mean - sd, mean + sd]).astype(float)
        np.testing.assert_allclose([*bars_left.values()][place], expected)
        if row != "vanilla":
            names = ["to_vanilla", "to_vanilla_low", "to_vanilla_high"]
            found = [*bars_right.values()][place - 1]
            np.testing.assert_allclose(found, 100 * chosen[names].to_numpy(float), atol=1e-9)
    assert {line.get_color() for line in left.get_lines()} >= set(bars_right)


def test_rates_are_named_on_the_axis_whatever_their_order() -> None:
    figure = accuracy_by_rate(new_summary(rates=(1000, 15, 100)), SIX)
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_xticklabels()] == ["15", "100", "1,000"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(SIX)
    x = [container.lines[0].get_xdata() for container in figure.axes[0].containers]
    assert all(values[0] < values[1] < values[2] for values in x)
    assert len({float(values[0]) for values in x}) == len(SIX), "bars hide each other"


def test_variants_stand_beside_co_tuning_with_their_intervals() -> None:
    summary = new_summary((*SIX, *VARIANTS), rates=(30,))
    (axes,) = variant_differences(summary, SIX).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["co-tuning", *VARIANTS]
    shown = summary.set_index("row")
    for place, name in enumerate(names):
        interval, point = axes.lines[2 * place : 2 * place + 2]
        ends = 100 * shown.loc[name, ["to_vanilla_low", "to_vanilla_high"]].to_numpy(float)
        np.testing.assert_allclose(interval.get_xdata(), ends)
        np.testing.assert_allclose(point.get_xdata(), [100 * shown.loc[name, "to_vanilla"]])
        assert [*point.get_ydata()] == [place]


def test_a_variant_of_one_rate_keeps_its_line_empty_at_the_others() -> None:
    few = new_summary((*SIX, "lambda 0"), rates=(15, 50))
    summary = pd.concat([few, new_summary((*SIX, *VARIANTS), rates=(30,))])
    panels = variant_differences(summary, SIX).axes
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["co-tuning", *VARIANTS]
    drawn = [{int(line.get_ydata()[0]) for line in axes.lines[:-1]} for axes in panels]
    assert drawn == [{0, 1}, {0, 1, 2, 3}, {0, 1}]


def test_rates_without_variants_have_no_panel_of_them() -> None:
    summary = pd.concat([new_summary((*SIX, *VARIANTS), rates=(30,)), new_summary(rates=(100,))])
    titles = [axes.get_title("left") for axes in variant_differences(summary, SIX).axes]
    assert titles == ["30 images a class"]


@pytest.mark.parametrize(
    "methods",
    [SIX, MANY],
)
def test_no_two_methods_look_the_same(methods: Sequence[str]) -> None:
    lines = [container.lines[0] for container in by_rate(methods).axes[0].containers]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(methods)
