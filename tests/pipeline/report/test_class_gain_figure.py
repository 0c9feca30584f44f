"""The figure of the gains: what it shows, and that no name lies on another or outside."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from pipeline.report.class_gain_figure import class_gain_panels


def gains_of(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(count)
    difference = np.sort(rng.normal(0.03, 0.08, count))[::-1]
    table = {
        "class": [f"class {index}, also $x_" for index in range(count)],
        "difference": difference,
        "low": difference - 0.05,
        "high": difference + 0.05,
        "row_entropy": rng.normal(3, 0.5, count),
        "g_accuracy": rng.integers(4, 20, count) / 20,
    }
    return pd.DataFrame(table)


def drawn(gains: pd.DataFrame) -> Figure:
    figure = class_gain_panels(gains)
    FigureCanvasAgg(figure).draw()
    return figure


def names_in(axes: Axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation)]


@pytest.mark.parametrize("count", [1, 2, 10, 20])
def test_names_are_whole_and_lie_on_no_other_name(count: int) -> None:
    figure = drawn(gains_of(count))
    for axes in figure.axes:
        names = names_in(axes)
        assert {name.get_text() for name in names} == {f"class {index}" for index in range(count)}
        boxes = [Text.get_window_extent(name) for name in names]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        inside = axes.bbox.padded(1)
        assert all(inside.containsx(box.x0) and inside.containsx(box.x1) for box in boxes)
        assert all(inside.containsy(box.y0) and inside.containsy(box.y1) for box in boxes)


def test_many_classes_are_points_without_names_or_intervals() -> None:
    figure = drawn(gains_of(21))
    for axes in figure.axes:
        assert names_in(axes) == []
        (points,) = axes.collections
        assert len(np.asarray(points.get_offsets())) == 21


def test_a_point_is_the_gain_in_points_against_the_column() -> None:
    gains = gains_of(5)
    for axes, column in zip(drawn(gains).axes, ("row_entropy", "g_accuracy"), strict=True):
        shown = np.asarray(axes.collections[-1].get_offsets())
        np.testing.assert_allclose(shown, gains[[column, "difference"]].to_numpy() * [1, 100])


def test_a_class_without_a_value_is_left_out_of_its_panel_alone() -> None:
    gains = gains_of(5)
    gains.loc[2, "g_accuracy"] = np.nan
    entropy, g = drawn(gains).axes
    assert len(names_in(entropy)) == 5
    assert [name.get_text() for name in names_in(g)] == ["class 0", "class 1", "class 3", "class 4"]
    assert entropy.get_title("left").endswith("5 classes")
    assert g.get_title("left").endswith("4 classes")


def test_the_title_has_the_rank_correlation_where_there_is_one() -> None:
    gains = gains_of(6).assign(row_entropy=np.arange(6.0), g_accuracy=0.5)
    entropy, g = drawn(gains).axes
    assert entropy.get_title("left") == "Spearman -1.00, 6 classes"
    assert g.get_title("left") == ""
