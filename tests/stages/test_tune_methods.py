"""Which candidate is chosen for a method."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import UserError
from pipeline.params.claims_sections import CellSettings, TuneMethods
from stages.tune_methods import candidate_cells, choose

RATES = (0.001, 0.01, 0.1)


def trials(*likelihoods: list[float | None], method: str = "bss") -> pd.DataFrame:
    """A row a seed and candidate, as the stage orders them; None is a training that diverged."""
    rows = [
        {
            "row": method,
            "seed": seed,
            "diverged": value is None,
            "validation_nll": value,
            "settings": CellSettings(method=method, learning_rate=rate).model_dump_json(),
        }
        for seed, values in enumerate(likelihoods)
        for rate, value in zip(RATES, values, strict=True)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("likelihoods", "best"),
    [
        ([[0.9, 0.5, 0.7]], 0.01),
        ([[0.9, 0.5, 0.7], [0.1, 0.9, 0.2]], 0.1),  # 0.50, 0.70, 0.45
        ([[0.5, 0.5, 0.7]], 0.001),  # ties to the first
        ([[0.9, 0.6, 0.6]], 0.01),
        ([[0.9, None, 0.7]], 0.1),
        ([[0.9, 0.1, 0.7], [0.9, None, 0.8]], 0.1),  # good with one seed, diverged with the other
        ([[None, None, 7.0]], 0.1),
    ],
)
def test_the_lowest_mean_over_seeds_is_chosen(
    likelihoods: list[list[float | None]], best: float
) -> None:
    chosen = choose(trials(*likelihoods))
    assert chosen == CellSettings(method="bss", learning_rate=best)


@given(st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3), min_size=1, max_size=4))
def test_no_candidate_has_a_lower_mean_than_the_chosen_one(values: list[list[float]]) -> None:
    chosen = choose(trials(*values)).learning_rate
    means = np.mean(values, axis=0)
    assert means[RATES.index(chosen)] <= means.min() + 1e-12


def test_the_order_of_the_rows_has_no_part_in_it() -> None:
    table = trials([0.9, 0.5, 0.7], [0.1, 0.9, 0.2])
    assert choose(table.sample(frac=1, random_state=0)) == choose(table)


def test_all_of_the_settings_are_kept() -> None:
    settings = CellSettings(method="delta").changed({"peers.delta.strength": 1e-6})
    table = trials([0.9, 0.5, 0.7], method="delta")
    table.loc[1, "settings"] = settings.model_dump_json()
    assert choose(table) == settings
    assert json.loads(table.loc[1, "settings"])["peers"]["delta"]["strength"] == 1e-6


@pytest.mark.parametrize("likelihoods", [[[None] * 3], [[0.5, None, None], [None, 0.5, 0.5]]])
def test_a_method_of_which_every_candidate_diverged_is_refused(
    likelihoods: list[list[float | None]],
) -> None:
    with pytest.raises(UserError, match=r"every candidate of bss diverged; lower the learning ra"):
        choose(trials(*likelihoods))


def test_cells_that_all_diverged_are_refused_too() -> None:
    with pytest.raises(UserError, match="every candidate of bss diverged"):
        choose(trials([None] * 3).drop(columns="validation_nll"))


def test_a_method_without_a_choice_is_not_trained() -> None:
    section = TuneMethods(seeds=(7, 8))
    choice = [CellSettings(method="bss", learning_rate=rate) for rate in RATES]
    cells = candidate_cells(section, {"vanilla": [CellSettings()], "bss": choice})
    assert [(cell.row, cell.seed, cell.settings) for cell in cells] == [
        ("bss", seed, settings) for seed in (7, 8) for settings in choice
    ]
    assert not any(cell.tested for cell in cells)
