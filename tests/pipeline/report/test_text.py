"""The words of the report."""

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.artifacts import Best, Calibration
from pipeline.params import Params
from pipeline.params.sections import SourceModel
from pipeline.report.metrics import METRICS, PairedDifference
from pipeline.report.results import Results
from pipeline.report.text import render_report
from pipeline.report.text_answer import recommendation, verdict
from pipeline.search.choice import Gain
from pipeline.search.evidence import Difference

BETTER = PairedDifference(0.022, 0.009, 0.035, 0.0012, 100, 144, 2000)
WORSE = PairedDifference(-0.031, -0.045, -0.017, 1e-7, 144, 82, 2000)
NEITHER = PairedDifference(0.003, -0.008, 0.014, 0.58, 70, 76, 2000)
PICTURES = {"comparison.png", "trials.png", "reliability.png", "relationship.png", "training.png"}


def gain(mean: float, error: float) -> Gain:
    return Gain(
        Difference(mean, error, mean - 2 * error, mean + 2 * error),
        Difference(0.033, 0.02, -0.007, 0.073),
    )


def results() -> Results:
    labels = [0] * 8 + [1] * 9 + [0, 1] * 3
    splits = ["train"] * 17 + ["validation"] * 2 + ["test"] * 4
    values = dict.fromkeys(METRICS, 0.5) | {
        "own_temperature": 1.25,
        "intervals": {key: [0.4, 0.6] for key in METRICS},
    }
    epochs = {"epoch": [1, 2, 3], "validation_nll": [0.9, 0.6, 0.7], "kept": [False, True, False]}
    history = pd.DataFrame(epochs | {"validation_accuracy": [0.6, 0.72, 0.75]})
    trials = {
        **{"number": [0, 1, 2], "state": ["COMPLETE", "COMPLETE", "PRUNED"]},
        **{"source_weight": [0.0, 2.3, 4.0], "temperature": [1.9, 1.9, 1.0]},
        **{"held_out_nll": [0.9, 0.7, None], "held_out_accuracy": [0.5, 0.6, None]},
        **{"gain": [None, 0.2, None], "gain_low": [None, 0.1, None]},
        **{"gain_high": [None, 0.3, None]},
    }
    return Results(
        params=Params(seed=7),
        classes=["cat", "a|b"],
        manifest=pd.DataFrame({"split": splits, "label": labels}),
        metrics={"vanilla": values, "co-tuning": values},
        differences={"co-tuning": BETTER},
        histories={"vanilla": history, "co-tuning": history},
        calibration=Calibration(1.73, "target-likelihood", False, 1.25, 1.125, 0.25, 0.125),
        best=Best(2.3, 1.9, 3, gain(0.2, 0.05), "co-tuning"),
        trials=pd.DataFrame(trials),
        diagnostics={
            "direction": "direct",
            "pseudo_samples": 3.0,
            "knowledge": {
                "nats": 0.51,
                "standard_error": 0.05,
                "accuracy": 0.75,
                "log_likelihood": -0.9,
            },
            "leep": -0.4,
            "nce": -0.5,
            "row_entropy": {"cat": 0.5, "a|b": 1.5},
            "most_similar_rows": {"first": "cat", "second": "a|b", "cosine": 0.97},
            "classifier": {"validation_accuracy": 0.6, "majority_accuracy": 0.55},
            "warnings": ["cat and a|b have nearly the same row"],
        },
        top_categories=pd.DataFrame(
            {
                "class": ["cat", "cat", "a|b"],
                "rank": [1, 2, 1],
                "category": ["tabby, tabby cat", "lynx", "dingo"],
                "probability": [0.6, 0.25, 0.4],
            }
        ),
        gains=pd.DataFrame(),
        source_heads={},
        pictures=PICTURES,
    )


@pytest.mark.parametrize(
    ("difference", "words", "numbers"),
    [
        (BETTER, "is better than vanilla fine-tuning beyond the noise", "+2.2 p, +0.9 to +3.5"),
        (WORSE, "is worse than vanilla fine-tuning beyond the noise", "-3.1 p, -4.5 to -1.7"),
        (NEITHER, "no difference to vanilla that exceeds the noise", "+0.3 p, -0.8 to +1.4"),
    ],
)
def test_the_verdict_has_three_wordings(
    difference: PairedDifference, words: str, numbers: str
) -> None:
    sentence = verdict(difference)
    assert words in sentence
    assert all(number in sentence for number in numbers.split(", "))


def test_a_test_and_an_interval_that_disagree_are_noise() -> None:
    assert "exceeds the noise" in verdict(replace(BETTER, p_value=0.06))
    assert "exceeds the noise" in verdict(replace(BETTER, low=-0.001))


@pytest.mark.parametrize(
    ("p", "text"), [(0.0012, "p = 0.0012"), (1e-7, "p < 0.0001"), (1, "p = 1)")]
)
def test_p_values_are_rounded(p: float, text: str) -> None:
    assert text in verdict(replace(BETTER, p_value=p))


def test_the_answer_comes_first_with_its_grounds() -> None:
    lines = render_report(results()).splitlines()
    assert lines[0] == "# Did Co-Tuning help?"
    assert lines[2].startswith("**Recommended: Co-Tuning** (`data/fine-tune/co-tuning`)")
    assert lines[4] == f"**On the test: {verdict(BETTER)}**"
    assert lines[6].startswith("Both methods start from the same pre-trained network.")
    assert lines[8] == (
        "Judged on 4 test images of 2 classes, after training on 8 to 9 images a class, with 1 "
        "more for validation."
    )
    assert "Only co-tuning is right on 144 test images, only vanilla on 100." in lines[10]
    assert "seed 7" in lines[10]


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
    assert "| 50.0% (40.0% to 60.0%) | +2.2 points, p = 0.0012 |" in text
    assert "| baseline |" in text
    assert "| vanilla | 1.25 | 0.500 (0.400 to 0.600) | 0.500 (0.400 to 0.600) |" in text


def test_each_candidate_is_tabled_with_its_gain() -> None:
    text = render_report(results())
    assert "3 candidates, 1 of them stopped early" in text
    assert "| 0 (vanilla) | 1.9 | 0.9000 | 50.0% | baseline |" in text
    assert "| 2.3 | 1.9 | 0.7000 | 60.0% | +0.200 (+0.100 to +0.300) |" in text


@pytest.mark.parametrize(
    ("mean", "error", "words"),
    [
        (0.2, 0.05, "That is clear"),
        (0.08, 0.05, "That is weak evidence"),
        (0.01, 0.05, "That is hardly evidence"),
        (-0.2, 0.05, "That is clear"),
    ],
)
def test_the_recommendation_says_what_for_and_how_sure_it_is(
    mean: float, error: float, words: str
) -> None:
    method = "co-tuning" if mean > 0 else "vanilla"
    text = recommendation(Best(1.2, 1.9, 4, gain(mean, error), method), 60)
    name = {"co-tuning": "Co-Tuning", "vanilla": "vanilla fine-tuning"}[method]
    assert text.startswith(f"**Recommended: {name}** (`data/fine-tune/{method}`). Each of the 60")
    word = "better" if mean > 0 else "worse"
    assert f"weight 1.2, was {word} than vanilla fine-tuning by {abs(mean):.3f} nats" in text
    assert "gain in accuracy is +3.3 points (-0.7 to +7.3)" in text
    assert words in text


def test_no_search_is_said_so() -> None:
    best = Best(2.3, 1.73)
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
    small = replace(results(), params=Params(source_model=SourceModel(input_size=64)))
    warning = "**Warning:** source_model.input_size is 64 px, efficientnet-lite0 is published for"
    assert warning in render_report(small)
    assert "input_size is" not in render_report(results())
