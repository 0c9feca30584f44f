"""The figures: what they show, that nothing is cut off or touches, and that bytes repeat."""

import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from pipeline.cotuning.reliability import bin_confidences
from pipeline.report.figures import (
    DPI,
    confusion_matrix,
    method_comparison,
    relationship_heat_map,
    reliability_diagram,
    save_figure,
    training_curves,
)
from pipeline.report.trials_figure import tune_trials

MANY = [f"{index:03d}.Black_footed_Albatross" for index in range(200)]
SYNONYMS = [f"category {index}, another name of it" for index in range(1000)]


def random_relationship(classes: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(1000, 0.01), classes)


def confusions(count: int) -> Figure:
    rng = np.random.default_rng(0)
    true = rng.integers(0, count, 600)
    predicted = np.where(rng.random(600) < 0.7, true, rng.integers(0, count, 600))
    return confusion_matrix(true, predicted, MANY[:count])


def reliability() -> Figure:
    rng = np.random.default_rng(0)
    confidence = rng.beta(4, 1.5, 500)
    before = bin_confidences(confidence, (rng.random(500) < confidence**2).astype(float))
    after = bin_confidences(confidence**1.8, (rng.random(500) < confidence**2).astype(float))
    return reliability_diagram(before, after)


def history(epochs: int) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    nll = 1 / epoch + 0.03 * epoch
    return pd.DataFrame(
        {
            "epoch": epoch,
            "validation_nll": nll,
            "validation_accuracy": 1 - nll / 2,
            "kept": nll == nll.min(),
        }
    )


def trials(count: int) -> pd.DataFrame:
    table = {
        "source_weight": [0.0, 2.3, 4.0, 1.0],
        "temperature": [1.7, 1.7, 2.2, 1.1],
        "gain": [None, 0.2, -0.1, None],
        "gain_low": [None, 0.1, -0.2, None],
        "gain_high": [None, 0.3, 0.0, None],
    }
    return pd.DataFrame(table)[:count]


ACCURACIES = {"vanilla": (0.97, 0.96, 0.98), "co-tuning": (0.99, 0.985, 1.0)}
FIGURES: dict[str, Callable[[], Figure]] = {
    "reliability": reliability,
    "heat map of 2": lambda: relationship_heat_map(random_relationship(2), MANY[:2], SYNONYMS),
    "heat map of 10": lambda: relationship_heat_map(random_relationship(10), MANY[:10], SYNONYMS),
    "heat map of 200": lambda: relationship_heat_map(random_relationship(200), MANY, SYNONYMS),
    "confusions of 2": lambda: confusions(2),
    "confusions of 40": lambda: confusions(40),
    "confusions of 200": lambda: confusions(200),
    "curves": lambda: training_curves({"vanilla": history(9), "co-tuning": history(9)}),
    "curves of 1 epoch": lambda: training_curves({"l2-sp": history(1)}),
    "comparison": lambda: method_comparison(ACCURACIES),
    "trials": lambda: tune_trials(trials(4), 2.3),
    "one trial": lambda: tune_trials(trials(1), 2.3),
}


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_and_no_tick_labels_touch(name: str) -> None:
    figure = FIGURES[name]()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = figure.bbox.padded(1)
    assert all(side >= 0 for side in _margins(figure, whole)), name
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            texts = [label for label in axis.get_ticklabels() if label.get_text()]
            boxes = [text.get_window_extent() for text in texts]
            assert not any(one.overlaps(other) for one, other in pairwise(boxes)), name


def _margins(figure: Figure, whole: matplotlib.transforms.Bbox) -> tuple[float, ...]:
    drawn = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    return drawn.x0 - whole.x0, drawn.y0 - whole.y0, whole.x1 - drawn.x1, whole.y1 - drawn.y1


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "first.png", tmp_path / "second.png"
    save_figure(confusions(3), first)
    save_figure(confusions(3), second)
    assert first.read_bytes() == second.read_bytes()
    with Image.open(io.BytesIO(first.read_bytes())) as image:
        assert "Software" not in image.info
        assert image.info["dpi"][0] == pytest.approx(DPI, abs=0.1)


def test_the_users_settings_are_left_as_they_were(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    save_figure(reliability(), tmp_path / "figure.png")
    assert dict(matplotlib.rcParams) == before
    assert list(tmp_path.iterdir()) == [tmp_path / "figure.png"]


def test_the_legend_of_the_reliability_diagram_has_the_errors() -> None:
    curve = bin_confidences(np.array([0.9, 0.9]), np.array([1.0, 0.0]))
    calibrated = bin_confidences(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    (legend,) = reliability_diagram(curve, calibrated).legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["calibrated", "before, T = 1: ECE 0.400", "after: ECE 0.000"]


def test_the_heat_map_shows_the_top_categories_of_each_class_in_row_order() -> None:
    relationship = np.full((2, 30), 0.001)
    relationship[0, [20, 4]] = 0.6, 0.3
    relationship[1, [7, 20]] = 0.5, 0.4
    axes = relationship_heat_map(relationship, ["cat", "dog"], SYNONYMS[:30]).axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[:2] == ["category 20", "category 4"]
    assert "category 7" in names
    assert len(names) == len(set(names)) <= 10
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    shown = np.asarray(axes.images[0].get_array())
    assert shown[:, 0].tolist() == [0.6, 0.4]


def test_names_that_share_a_first_synonym_stay_apart_and_long_ones_are_cut() -> None:
    categories = ["crane, bird", "crane, machine", "a name of very many letters indeed, it is"]
    axes = relationship_heat_map(np.full((2, 3), 1 / 3), ["$x_", "$y_"], categories).axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[:2] == categories[:2]
    assert names[2].endswith("\u2026")
    assert len(names[2]) == 26


def test_a_confusion_matrix_has_shares_of_the_true_class_and_leaves_absent_classes_empty() -> None:
    figure = confusion_matrix(np.array([0, 0, 0, 2]), np.array([0, 0, 1, 2]), ["a", "b", "c"])
    axes = figure.axes[0]
    shares = axes.images[0].get_array()
    assert isinstance(shares, np.ma.MaskedArray)
    assert shares.filled(-1).tolist() == [[2 / 3, 1 / 3, 0], [-1, -1, -1], [0, 0, 1]]
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["67", "33", "100"]


@pytest.mark.parametrize(("classes", "named"), [(40, True), (41, False)])
def test_names_are_left_out_above_forty_classes(classes: int, named: bool) -> None:
    labels = [label.get_text() for label in confusions(classes).axes[0].get_yticklabels()]
    assert any("Albatross" in label for label in labels) is named


def test_the_epoch_of_the_lowest_loss_is_ringed() -> None:
    axes = training_curves({"vanilla": history(9)}).axes[0]
    kept = axes.collections[0].get_offsets()
    assert np.asarray(kept).tolist() == [[6.0, pytest.approx(1 / 6 + 0.18)]]


def test_the_chosen_candidate_is_ringed() -> None:
    axes = tune_trials(trials(4), 2.3).axes[0]
    (ring,) = [line for line in axes.lines if line.get_label() == "chosen"]
    assert np.asarray(ring.get_xydata()).tolist() == [[2.3, 0.2]]


def test_the_comparison_writes_out_value_and_interval() -> None:
    axes = method_comparison(ACCURACIES).axes[0]
    assert [text.get_text() for text in axes.texts] == [
        "97.0%  [96.0, 98.0]",
        "99.0%  [98.5, 100.0]",
    ]
    assert axes.get_xlim()[1] <= 1
