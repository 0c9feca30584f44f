"""What the claims table says in Markdown."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from pipeline.claims.table import render, summarise
from pipeline.params.claims_sections import CellSettings, Rate, TuneMethods

METHODS = ("vanilla", "bss", "co-tuning")
TUNING = TuneMethods(
    rate=Rate(images_per_class=37, steps=123),
    seeds=(1000, 1001),
    candidates={
        "vanilla": {"learning_rate": [0.001, 0.003, 0.01]},
        "bss": {"learning_rate": [0.003], "peers.bss.strength": [0.001, 0.01, 0.1]},
        "co-tuning": {"source_weight": [0.5, 1.0, 2.3]},
    },
)
STEPS = pd.DataFrame(
    {
        "method": METHODS,
        **{"step_ms": [100.04, 110, 105], "step_ratio": [1, 1.1, 1.0532]},
        **{"step_ratio_low": [1, 1.09, 1.04], "step_ratio_high": [1, 1.12, 1.0666]},
        **{"inference_ms": [30.0, 31, 30], "inference_ratio": [1, 1.02, 0.999]},
        **{"inference_ratio_low": [1, 1, 0.99], "inference_ratio_high": [1, 1.03, 1.01]},
    }
)
SETTINGS = {
    "vanilla": CellSettings(learning_rate=0.01),
    "bss": CellSettings(method="bss").changed({"peers.bss.strength": 0.01}),
    "co-tuning": CellSettings(method="co-tuning", source_weight=0.5),
}


def cells(accuracies: Mapping[str, tuple[float | None, ...]], rate: int = 20) -> pd.DataFrame:
    """By row, with seeds 0, 1, ...; the NLL is 1 less the accuracy."""
    table = [
        (rate, row, seed, value, *[None if value is None else 1 - value] * 2)
        for row, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    columns = ["images_per_class", "row", "seed", "accuracy", "nll", "calibrated_nll"]
    return pd.DataFrame(table, columns=columns)


ACCURACIES = {
    "vanilla": (0.50, 0.60, 0.70),
    "bss": (0.49, 0.58, 0.70),
    "co-tuning": (0.55, 0.66, 0.74),
}


def written(
    table: pd.DataFrame,
    tuning: TuneMethods = TUNING,
    settings: Mapping[str, CellSettings] = SETTINGS,
) -> str:
    values = {method: chosen.model_dump() for method, chosen in settings.items()}
    return render(summarise(table), STEPS, values, tuning)


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"| {start}")]


def test_a_row_says_accuracy_likelihood_and_difference() -> None:
    text = written(cells(ACCURACIES))
    assert "## 20 images a class, 3 seeds" in text
    # Differences of 5, 6 and 4 points: 5 and a half width of 4.303 * 1 / sqrt(3).
    assert lines(text, "co-tuning")[0] == (
        "| co-tuning | 65.0% ± 9.5 | +5.0 (+2.5 to +7.5) | 3.3 | 0.350 "
        "| -0.050 (-0.075 to -0.025) | -0.050 (-0.075 to -0.025) |"
    )
    assert lines(text, "vanilla")[0] == "| vanilla | 60.0% ± 10.0 |  |  | 0.400 |  |  |"
    assert "Variants" not in text


def test_every_rate_has_a_part_of_its_own_in_order() -> None:
    text = written(pd.concat([cells(ACCURACIES, 100), cells(ACCURACIES, 20)]))
    assert text.index("## 20 images a class") < text.index("## 100 images a class")
    assert len([line for line in lines(text, "co-tuning") if "±" in line]) == 2


def test_variants_stand_apart_and_are_compared_with_co_tuning_too() -> None:
    text = written(cells(ACCURACIES | {"uniform R": (0.51, 0.60, 0.69)}))
    methods, variants = text.split("Variants of co-tuning:")
    assert not lines(methods, "uniform R")
    (line,) = lines(variants, "uniform R")
    assert line.startswith(
        "| uniform R | 60.0% ± 9.0 | +0.0 (-2.5 to +2.5) | 3.3 | 0.400 "
        "| +0.000 (-0.025 to +0.025) | +0.000 (-0.025 to +0.025) | -5.0 ("
    )
    assert lines(variants, "co-tuning")[0].startswith("| co-tuning | 105.0")


def test_one_seed_is_said_without_deviation_and_interval() -> None:
    text = written(cells({row: values[:1] for row, values in ACCURACIES.items()}))
    assert (
        lines(text, "co-tuning")[0] == "| co-tuning | 55.0% | +5.0 |  | 0.450 | -0.050 | -0.050 |"
    )


def test_diverged_cells_are_told_beside_their_row() -> None:
    text = written(cells(ACCURACIES | {"bss": (0.49, None, 0.70)}))
    assert lines(text, "bss")[0].startswith("| bss (1 diverged) | 59.5%")
    assert text.count("diverged)") == 1


def test_a_row_of_which_every_cell_diverged_has_no_number() -> None:
    text = written(cells(ACCURACIES | {"bss": (None, None, None)}))
    assert lines(text, "bss")[0].startswith("| bss (3 diverged) |")
    assert "nan" not in text


def test_costs_are_told_with_their_quartiles() -> None:
    text = written(cells(ACCURACIES))
    cost = "| co-tuning | 105.0 | 1.053 (1.040 to 1.067) | 30.0 | 0.999 (0.990 to 1.010) |"
    assert cost in text.split("## Cost")[1]


def test_the_budget_and_what_was_chosen_are_told() -> None:
    text = written(cells(ACCURACIES)).split("## Settings")[1]
    assert "among 3 candidates for each method, trained for 123 steps on 37 images a cl" in text
    assert "2 seed(s) that are not in the table" in text
    assert "| vanilla | learning_rate 0.01 |" in text
    assert "| bss | learning_rate 0.003, peers.bss.strength 0.01 |" in text
    assert "| co-tuning | source_weight 0.5 |" in text


def test_without_candidates_every_method_has_its_defaults() -> None:
    text = written(cells(ACCURACIES), tuning=TuneMethods()).split("## Settings")[1]
    assert "Nothing was tuned; what is not named here has its default." in text
    assert "| vanilla | learning_rate 0.01 |" in text


def test_a_setting_that_is_no_number_can_be_tuned() -> None:
    candidates: dict[str, dict[str, list[Any]]] = {
        "co-tuning": {"direction": ["reverse", "direct"], "calibrated": [True, False]}
    }
    text = written(cells(ACCURACIES), tuning=TuneMethods(candidates=candidates))
    assert "direction auto" in text


@pytest.mark.parametrize("name", ["a|b", "a`b", "[a](b)", "*a*", "<b>a"])
def test_a_name_cannot_break_the_table(name: str) -> None:
    text = written(cells(ACCURACIES | {name: (0.5, 0.6, 0.7)}))
    line = text.split("Variants of co-tuning:")[1].splitlines()[4]
    escaped = "".join(f"\\{sign}" if sign in "|`[]*<" else sign for sign in name)
    assert line.startswith(f"| {escaped} | 60.0%")
    assert len(re.findall(r"(?<!\\)\|", line)) == 9


def test_a_table_without_vanilla_has_no_differences() -> None:
    table = cells({row: values for row, values in ACCURACIES.items() if row != "vanilla"})
    assert lines(written(table), "bss")[0] == "| bss | 59.0% ± 10.5 |  |  | 0.410 |  |  |"
