"""The words of the report."""

from dataclasses import replace

import pandas as pd
from report_results import PICTURES, results

from pipeline.artifacts import Best, Calibration
from pipeline.datasets.sizes import Sizes
from pipeline.report.text import render_report


def test_every_section_is_there_in_order() -> None:
    text = render_report(results())
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        *("Methods", "Tuning", "Calibration of the source model", "Relationship", "Diagnostics"),
        *("Training", "How it was made"),
    ]
    assert all(text.count(f"({picture})") == 1 for picture in PICTURES)
    assert "None" not in text
    assert "nan" not in text


def test_without_a_difference_the_paired_section_is_left_out() -> None:
    text = render_report(replace(results(), differences={}))
    assert text.startswith("# Evaluation\n\nJudged on 4 test images")
    assert "beyond the noise" not in text
    assert "McNemar" not in text
    assert "to vanilla" not in text


def test_the_methods_are_tabled_with_intervals_and_difference() -> None:
    text = render_report(results())
    assert "| 50.0% (40.0% to 60.0%) | +2.2 points (+0.9 to +3.5), p = 0.0012 |" in text
    assert "| baseline |" in text
    assert "| co-tuning | -0.070 (-0.110 to -0.030) | +0.010 (-0.020 to +0.040) |" in text
    assert "| vanilla | 1.25 | 0.500 (0.400 to 0.600) | 0.500 (0.400 to 0.600) |" in text


def test_each_candidate_is_tabled_with_its_gain() -> None:
    text = render_report(results())
    assert "3 candidates, 1 of them stopped early" in text
    assert "| 0 (vanilla) | 1.9 | 0.9000 | 50.0% | baseline |" in text
    assert "| 2.3 | 1.9 | 0.7000 | 60.0% | +0.200 (+0.100 to +0.300) |" in text


def test_no_search_is_said_so() -> None:
    best = Best(2.3, 1.0)
    text = render_report(replace(results(), best=best, trials=pd.DataFrame()))
    assert text.splitlines()[2].startswith(
        "No search ran (`tune.trials: 0`), so that only the test"
    )
    assert "No search ran (`tune.trials: 0`); taken from params.yaml: source weight 2.3" in text


def test_a_temperature_on_the_bound_is_a_warning() -> None:
    calibration = Calibration(8.0, "source-validation", True, 1.25, 1.125, 0.25, 0.125)
    text = render_report(replace(results(), calibration=calibration))
    assert "> **Warning:** the optimum lies on the bound" in text
    assert "Judged on the source validation images" in text
    assert "lies on the bound" not in render_report(results())


def test_calibration_is_shown_before_and_after() -> None:
    text = render_report(results())
    assert "| T = 1 | 1.2500 | 0.2500 |\n| T = 1.73 | 1.1250 | 0.1250 |" in text


def test_each_class_has_one_row_of_top_categories_with_pipes_escaped() -> None:
    text = render_report(results())
    assert "| cat | tabby, tabby cat 60.0%; lynx 25.0% | 0.50 |" in text
    assert r"| a\|b | dingo 40.0% | 1.50 |" in text


def test_the_way_that_the_relationship_was_learned_in_is_said_and_what_it_knows() -> None:
    text = render_report(results())
    assert "direct approach with 3 pseudo-samples of the source marginal a row, T = " in text
    assert "| Knowledge of R | +0.510 | nats that R explains" in text
    reverse = {"direction": "reverse", "pseudo_samples": 0.0, "knowledge": None}
    reverse |= {"selection": "cross-validated-likelihood"}
    other = replace(results(), diagnostics=dict(results().diagnostics) | reverse)
    way = "reverse approach, its classifier chosen by `cross-validated-likelihood`, T = "
    assert way in render_report(other)
    assert "Knowledge of R" not in render_report(other)


def test_diagnostics_warn() -> None:
    assert r"> **Warning:** cat and a\|b have nearly the same row." in render_report(results())
    calm = replace(results(), diagnostics=dict(results().diagnostics) | {"warnings": []})
    assert "No warning." in render_report(calm)


def test_the_kept_epoch_is_tabled() -> None:
    assert "| vanilla | 2 of 3 | 0.6000 | 72.0% |" in render_report(results())


def test_a_relationship_of_images_too_small_for_the_source_model_is_warned_of() -> None:
    small = replace(results(), sizes=Sizes(64, 72, 224))
    warning = "**Warning:** source_model.input_size is 64 px, efficientnet-lite0 is published for"
    assert warning in render_report(small)
    assert "input_size is" not in render_report(results())
