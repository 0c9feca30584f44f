"""The claims table against numbers computed in another way."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.claims.table import summarise

ROWS = ("vanilla", "bss", "co-tuning", "direct")
RATES = (20, 100)
SEEDS = (3, 0, 7, 1, 4)


def new_cells(seeds: tuple[int, ...] = SEEDS, rates: tuple[int, ...] = RATES) -> pd.DataFrame:
    """Seed by seed, as the stage writes them; accuracy is mostly a matter of the seed."""
    rng = np.random.default_rng(0)
    luck = {(rate, seed): rng.normal(0, 0.05) for rate in rates for seed in seeds}
    table = [
        (
            *(rate, row, seed, 0.6 + 0.02 * place + luck[rate, seed] + rng.normal(0, 0.01)),
            *(rng.random(), rng.random()),
        )
        for seed in seeds
        for rate in rates
        for place, row in enumerate(ROWS)
    ]
    columns = ["images_per_class", "row", "seed", "accuracy", "nll", "calibrated_nll"]
    return pd.DataFrame(table, columns=columns)


def values(cells: pd.DataFrame, rate: int, row: str, column: str = "accuracy") -> np.ndarray:
    """Ordered by seed."""
    chosen = cells[(cells["images_per_class"] == rate) & (cells["row"] == row)]
    return chosen.sort_values("seed")[column].to_numpy(float)


def found(summary: pd.DataFrame, rate: int, row: str) -> Mapping[str, Any]:
    chosen = summary[(summary["images_per_class"] == rate) & (summary["row"] == row)]
    assert len(chosen) == 1
    return chosen.iloc[0]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("row", ROWS)
def test_means_and_deviations_are_over_seeds(rate: int, row: str) -> None:
    cells = new_cells()
    summary = found(summarise(cells), rate, row)
    accuracy = values(cells, rate, row)
    assert summary["accuracy_mean"] == pytest.approx(np.mean(accuracy))
    deviation = math.sqrt(np.sum((accuracy - np.mean(accuracy)) ** 2) / (len(SEEDS) - 1))
    assert summary["accuracy_sd"] == pytest.approx(deviation)
    for measure in ("nll", "calibrated_nll"):
        mean = np.mean(values(cells, rate, row, measure))
        assert summary[f"{measure}_mean"] == pytest.approx(mean)
    assert (summary["seeds"], summary["diverged"]) == (len(SEEDS), 0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("row", "other", "name"),
    [(row, other, name) for row in ROWS
     for other, name in (("vanilla", "to_vanilla"), ("co-tuning", "to_co_tuning"))
     if row != other],
)  # fmt: skip
def test_differences_are_those_of_a_paired_t_test(
    rate: int, row: str, other: str, name: str
) -> None:
    cells = new_cells()
    summary = found(summarise(cells), rate, row)
    first, second = values(cells, rate, row), values(cells, rate, other)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert summary[name] == pytest.approx(np.mean(first - second))
    assert summary[f"{name}_low"] == pytest.approx(expected.low)
    assert summary[f"{name}_high"] == pytest.approx(expected.high)
    half = stats.t.ppf(0.975, 4) * stats.sem(first - second)
    assert summary[f"{name}_high"] - summary[name] == pytest.approx(half)


def test_pairs_are_made_by_seed_whatever_the_order() -> None:
    cells = new_cells()
    mixed = cells.sample(frac=1, random_state=1)
    expected, summary = (summarise(one).set_index(["images_per_class", "row"])
                         for one in (cells, mixed))  # fmt: skip
    pd.testing.assert_frame_equal(summary.sort_index(), expected.sort_index())


def test_rows_keep_the_order_of_the_cells() -> None:
    summary = summarise(new_cells())
    assert [*zip(summary["images_per_class"], summary["row"], strict=True)] == [
        (rate, row) for rate in RATES for row in ROWS
    ]


def test_nothing_is_compared_with_itself() -> None:
    summary = summarise(new_cells())
    for row, name in ("vanilla", "to_vanilla"), ("co-tuning", "to_co_tuning"):
        own = summary.loc[summary["row"] == row, [name, f"{name}_low", f"{name}_high"]]
        assert own.isna().all(axis=None)


def test_one_seed_gives_a_difference_without_an_interval() -> None:
    cells = new_cells(seeds=(5,))
    summary = found(summarise(cells), 20, "bss")
    expected = values(cells, 20, "bss") - values(cells, 20, "vanilla")
    assert summary["to_vanilla"] == pytest.approx(expected[0])
    assert pd.isna(summary["to_vanilla_low"])
    assert pd.isna(summary["to_vanilla_high"])
    assert pd.isna(summary["accuracy_sd"])


@pytest.mark.parametrize("diverged", ["vanilla", "bss"])
def test_a_diverged_cell_is_counted_and_its_pair_left_out(diverged: str) -> None:
    cells = new_cells()
    lost = (cells["row"] == diverged) & (cells["seed"] == 7) & (cells["images_per_class"] == 20)
    cells.loc[lost, ["accuracy", "nll"]] = np.nan
    summary = summarise(cells)
    assert found(summary, 20, diverged)["diverged"] == 1
    assert summary["diverged"].sum() == 1
    assert (summary["seeds"] == len(SEEDS)).all()
    rest = cells[cells["seed"] != 7]
    pair = values(rest, 20, "bss"), values(rest, 20, "vanilla")
    expected = stats.ttest_rel(*pair).confidence_interval(0.95)
    bss = found(summary, 20, "bss")
    assert bss["to_vanilla"] == pytest.approx(np.mean(pair[0] - pair[1]))
    assert [bss["to_vanilla_low"], bss["to_vanilla_high"]] == pytest.approx([*expected])
    kept = values(rest, 20, diverged)
    assert found(summary, 20, diverged)["accuracy_mean"] == pytest.approx(kept.mean())


def test_a_rate_without_vanilla_is_compared_with_co_tuning_alone() -> None:
    cells = new_cells()
    cells = cells[(cells["row"] != "vanilla") | (cells["images_per_class"] == 100)]
    summary = summarise(cells)
    assert pd.isna(found(summary, 20, "bss")["to_vanilla"])
    assert not pd.isna(found(summary, 20, "bss")["to_co_tuning"])
    assert not pd.isna(found(summary, 100, "bss")["to_vanilla"])


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
def test_a_row_that_equals_vanilla_with_every_seed_has_an_interval_of_zero_width() -> None:
    cells = new_cells()
    same = cells[cells["row"] == "vanilla"].assign(row="lambda 0")
    summary = found(summarise(pd.concat([cells, same])), 20, "lambda 0")
    assert [summary[f"to_vanilla{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
