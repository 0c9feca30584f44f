"""Gain by setting and what was recovered, on cells whose accuracies are made by hand."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline.claims.sweep import by_input_size, recovery, sweep_gains
from pipeline.claims.sweep_figures import (
    gain_by_setting,
    recovery_by_images,
    seen_by_input_size,
)
from pipeline.params.claims_sections import CellSettings, FineTuneCells
from stages.fine_tune_cells import all_cells

SECTION = FineTuneCells(
    rates=[
        {"images_per_class": 4, "steps": 100, "variants": ["truth"]},
        {"images_per_class": 8, "steps": 100, "variants": ["truth"]},
    ],
    seeds=[0, 1, 2],
    variants={"truth": {"relationship": "truth"}},
    true_relationship="truth.safetensors",
    sweep={"steps": [50, 100], "learning_rate": [0.001, 0.01], "source_weight": [1.0]},
)
BY_SIZE = FineTuneCells(
    rates=[{"images_per_class": 4, "steps": 100, "variants": ["shuffled R"]}],
    seeds=[0, 1, 2],
    variants={"shuffled R": {"relationship": "shuffled"}},
    sweep={"input_size": [32, 128]},
)
SETTINGS = {
    "vanilla": CellSettings(learning_rate=0.003),
    "co-tuning": CellSettings(method="co-tuning", learning_rate=0.003),
}
GAIN = {"vanilla": 0.0, "auto": 0.1, "truth": 0.2, "shuffled": -0.1}


def cells(section: FineTuneCells = SECTION) -> pd.DataFrame:
    """Accuracies that rise with everything; what teaches adds its own gain, the weight as much."""
    rows = []
    for cell in all_cells(section, SETTINGS):
        columns = cell.columns
        weight = 0.01 * columns["source_weight"] if columns["taught_by"] != "vanilla" else 0.0
        accuracy = 0.3 + 0.001 * columns["steps"] + columns["learning_rate"] + weight
        accuracy += GAIN[columns["taught_by"]] + 0.02 * cell.seed
        mass = 0.5 + 0.01 * columns["images_per_class"] if weight else None
        recovered = {"recovered_mass": mass, "divergence_from_truth": mass}
        size = cell.settings.input_size or 64
        seen = {"input_size": size, "knowledge_nats": size / 100, "leep": -1.0, "g_accuracy": 0.5}
        accuracy += 0.001 * (size - 64) if columns["taught_by"] == "auto" else 0.0
        rows.append(columns | {"accuracy": accuracy} | recovered | seen)
    return pd.DataFrame(rows)


def test_a_sweep_changes_one_setting_of_the_rows_that_it_concerns() -> None:
    names = {cell.row for cell in all_cells(SECTION, SETTINGS) if cell.seed == 0 and cell.swept}
    rows = ("vanilla", "co-tuning", "truth")
    assert names == {
        *(f"{row} steps 50" for row in rows),
        *(f"{row} learning_rate {value}" for row in rows for value in ("0.001", "0.01")),
        *(f"{row} source_weight 1" for row in rows if row != "vanilla"),
    }
    distinct = {cell.name for cell in all_cells(SECTION, SETTINGS)}
    assert len(distinct) == len(all_cells(SECTION, SETTINGS))


def test_gains_are_to_vanilla_at_the_same_steps_and_learning_rate() -> None:
    found = sweep_gains(cells()).set_index(["setting", "value", "taught_by"])
    assert found.loc[("images_per_class", 8, "truth"), "gain"] == pytest.approx(0.223)
    assert found.loc[("steps", 50, "auto"), "gain"] == pytest.approx(0.123)
    assert found.loc[("learning_rate", 0.01, "truth"), "gain"] == pytest.approx(0.223)
    assert found.loc[("source_weight", 1.0, "auto"), "gain"] == pytest.approx(0.11)
    assert found.loc[("source_weight", 2.3, "auto"), "gain"] == pytest.approx(0.123)
    assert found["gain_low"].to_numpy() == pytest.approx(found["gain"].to_numpy())
    assert set(found.loc["steps"].index.get_level_values("value")) == {50, 100}


def test_what_was_recovered_is_that_of_the_table_alone() -> None:
    found = recovery(cells()).set_index(["images_per_class", "taught_by"])
    assert found.loc[(8, "auto"), "recovered_mass"] == pytest.approx(0.58)
    assert found.loc[(4, "auto"), "recovered_mass_sd"] == pytest.approx(0)
    assert set(found.index) == {(4, "auto"), (8, "auto")}, "the truth is not learned"


def test_both_pictures_have_a_panel_a_setting_and_a_line_a_teacher() -> None:
    figure = gain_by_setting(sweep_gains(cells()))
    assert isinstance(figure, Figure)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["images a class", "steps of training", "learning rate", "source weight"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["auto", "truth"]
    assert len(recovery_by_images(recovery(cells())).axes) == 2


def test_by_input_size_the_gain_is_over_shuffled_rows_on_images_of_the_same_size() -> None:
    found = by_input_size(cells(BY_SIZE)).set_index("input_size")
    assert found.index.tolist() == [32, 64, 128]
    assert found["gain"].tolist() == pytest.approx([0.168, 0.2, 0.264])
    assert found["knowledge_nats"].tolist() == [0.32, 0.64, 1.28]
    assert found["knowledge_nats_sd"].tolist() == [0, 0, 0]
    figure = seen_by_input_size(found.reset_index())
    assert figure.axes[0].get_title(loc="left") == "Gain over shuffled R (points)"
    assert len(figure.axes) == 4
