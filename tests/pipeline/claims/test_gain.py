"""Gain against knowledge: cells paired with vanilla, means over seeds, ranks."""

import math

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline.claims.gain import KNOWLEDGE, gains, over_seeds, rank_correlations
from pipeline.claims.gain_figure import gain_against_knowledge

NATS = {"co-tuning": 0.8, "direct": 0.5, "reverse": -0.1, "shuffled R": -1.5, "marginal R": 0.0}
ACCURACY = {"co-tuning": 0.9, "direct": 0.8, "reverse": 0.7, "shuffled R": 0.5, "marginal R": 0.65}
KIND = {"shuffled R": "shuffled", "marginal R": "marginal"}


def study(rise: float = 0.0) -> pd.DataFrame:
    rows = [
        {
            **{"images_per_class": 5, "steps": 10, "seed": seed, "row": row},
            **{"accuracy": ACCURACY.get(row, 0.6) + 0.01 * seed, "nll": 1 - ACCURACY.get(row, 0.6)},
            "relationship": KIND.get(row, "learned") if row in NATS else None,
            **{"taught_by": row, "learning_rate": 0.003, "swept": None},
            **{name: NATS.get(row, math.nan) + rise for name in KNOWLEDGE},
        }
        for seed in (0, 1)
        for row in ("vanilla", "lwf", *NATS)
    ]
    return pd.DataFrame(rows)


def test_gains_are_paired_with_vanilla_of_the_same_seed() -> None:
    points = gains({"photographs": study()})
    assert set(points["row"]) == set(NATS), "vanilla and lwf are taught by no relationship"
    direct = points[points["row"] == "direct"]
    assert direct["accuracy_gain"].tolist() == pytest.approx([20.0, 20.0])
    assert direct["nll_gain"].tolist() == pytest.approx([0.2, 0.2])
    assert set(points.loc[points["control"], "row"]) == {"shuffled R", "marginal R"}


def test_a_cell_without_its_vanilla_has_no_gain() -> None:
    cells = study()
    alone = cells[~((cells["row"] == "vanilla") & (cells["seed"] == 1))]
    points = gains({"photographs": alone}).set_index("seed")["accuracy_gain"]
    assert points[0].notna().all()
    assert points[1].isna().all()


def test_ranks_are_those_of_the_means_and_of_each_study_alone() -> None:
    points = gains({"a": study(), "b": study(rise=100.0)})
    means = over_seeds(points)
    assert len(means) == 2 * len(NATS)
    assert means["accuracy_gain_error"].to_numpy() == pytest.approx(0)
    found = rank_correlations(means).set_index(["knowledge", "gain", "points"])
    nats = found.loc["knowledge_nats", "accuracy_gain"]
    assert nats.loc["within a study", "correlation"] == pytest.approx(1)
    assert nats.loc["learned", "correlation"] < 1, "b knows more and gains as much"
    assert nats["count"].tolist() == [10, 6, 6]


def test_the_figure_has_a_panel_a_measure_and_hollow_controls() -> None:
    means = over_seeds(gains({"a": study(), "b": study()}))
    figure = gain_against_knowledge(means, rank_correlations(means))
    assert isinstance(figure, Figure)
    assert len(figure.axes) == len(KNOWLEDGE)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["a", "a, control", "b", "b, control"]
