"""The first words of the report: recommendation, verdict, conclusion."""

from dataclasses import replace

import pytest
from report_results import BETTER, NEITHER, WORSE, recommending, results

from pipeline.params import Params
from pipeline.params.sections import FineTune
from pipeline.report.paired import PairedDifference
from pipeline.report.text import render_report
from pipeline.report.text_answer import (
    conclusion,
    preferred_by_test,
    recommendation,
    verdict,
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


@pytest.mark.parametrize(
    ("recommended", "co_tuning", "probe", "preferred"),
    [
        ("vanilla", NEITHER, BETTER, "linear-probe"),
        ("vanilla", BETTER, replace(BETTER, difference=0.01, low=0.001), "co-tuning"),
        ("vanilla", NEITHER, WORSE, None),
        ("vanilla", NEITHER, NEITHER, None),
        ("co-tuning", WORSE, BETTER, "vanilla"),
        ("co-tuning", NEITHER, BETTER, None),  # to vanilla: it may be no better than Co-Tuning
    ],
)
def test_the_test_may_speak_for_another_method(
    recommended: str,
    co_tuning: PairedDifference,
    probe: PairedDifference,
    preferred: str | None,
) -> None:
    differences = {"co-tuning": co_tuning, "linear-probe": probe}
    assert preferred_by_test(recommended, differences) == preferred


def test_the_report_says_whom_to_believe_where_search_and_test_disagree() -> None:
    differences = {"co-tuning": NEITHER, "linear-probe": BETTER}
    text = render_report(
        replace(
            results(), best=recommending("vanilla", "co-tuning", 0.1, 0.2), differences=differences
        )
    )
    assert "**But the test speaks for a linear probe** (`data/fine-tune/linear-probe`)" in text
    assert "It judged on 4 images, the search on 19: believe the test." in text
    assert "But the test" not in render_report(results())


@pytest.mark.parametrize(
    ("difference", "samples", "words"),
    [
        (BETTER, 1, "of these two models Co-Tuning gave the better one; one sample says no more"),
        (BETTER, 3, "on data like these Co-Tuning can be expected to be the better one"),
        (WORSE, 3, "on data like these vanilla fine-tuning can be expected to be the better one"),
        (NEITHER, 3, "3 samples and these test images cannot tell"),
    ],
)
def test_what_may_be_concluded_depends_on_how_many_samples_there_were(
    difference: PairedDifference, samples: int, words: str
) -> None:
    assert words in conclusion(replace(difference, by_sample=(difference.difference,) * samples))


def test_over_several_samples_each_is_shown_and_there_is_no_mcnemar() -> None:
    params = Params(fine_tune=FineTune(seeds=(0, 4)))
    over_two = replace(BETTER, p_value=None, by_sample=(0.01, 0.034))
    text = render_report(replace(results(), params=params, differences={"co-tuning": over_two}))
    assert "| Method | Seed 0 | Seed 4 | Mean |" in text
    assert "| co-tuning | +1.0 | +3.4 | +2.2 |" in text
    assert "McNemar" not in text
    assert "| +2.2 points (+0.9 to +3.5) |" in text


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
    assert lines[4].startswith(f"**On the test: {verdict(BETTER)}** So of these two models Co-Tun")
    assert lines[6].startswith("All start from the same pre-trained network.")
    assert lines[8] == (
        "Judged on 4 test images of 2 classes, after training on 8 to 9 images a class, with 1 "
        "more for validation."
    )
    assert "Only co-tuning is right on 144 test images, only vanilla on 100." in lines[10]
    assert "seed 7" in lines[10]


@pytest.mark.parametrize(
    ("mean", "error", "words"),
    [
        (0.2, 0.05, "on clear evidence"),
        (0.08, 0.05, "on weak evidence"),
        (0.01, 0.05, "on hardly any evidence"),
    ],
)
def test_the_recommendation_says_what_for_and_how_sure_it_is(
    mean: float, error: float, words: str
) -> None:
    best = recommending("vanilla", "co-tuning", mean, error)
    text = recommendation(best, 60, ["vanilla", "co-tuning"])
    assert text.startswith(
        f"**Recommended: vanilla fine-tuning** (`data/fine-tune/vanilla`), {words}"
    )
    assert "Each of the 60 images for training and validation was held out in turn" in text
    assert (
        f"better than Co-Tuning, the next best: by likelihood, which says most, by {mean}" in text
    )


def test_where_the_cheapest_is_taken_though_behind_the_report_says_why() -> None:
    best = recommending("linear-probe", "vanilla", -0.04, 0.05)
    text = recommendation(best, 60, ["vanilla", "linear-probe"])
    assert text.startswith(
        "**Recommended: a linear probe** (`data/fine-tune/linear-probe`), which takes seconds: "
        "vanilla fine-tuning is not clearly better. "
    )
    assert "by 0.040 nats an image (95% interval -0.060 to +0.140), less than two standard" in text


def test_what_each_method_gained_on_held_out_images_is_tabled() -> None:
    text = render_report(results())
    assert "| co-tuning | +0.200 (+0.100 to +0.300) | +3.3 (-0.7 to +7.3) |" in text
    assert "| linear-probe | -0.100 (-0.200 to +0.000) |" in text


def test_a_recommended_method_that_was_not_trained_is_said_to_be_so() -> None:
    best = recommending("linear-probe", "vanilla", 0.2, 0.05)
    text = recommendation(best, 60, ["vanilla", "co-tuning"])
    assert "a linear probe** (`fine_tune.methods` with linear-probe in it makes one)" in text


def test_the_linear_probe_has_a_verdict_of_its_own() -> None:
    both = {"co-tuning": NEITHER, "linear-probe": BETTER}
    text = render_report(replace(results(), differences=both))
    assert "A linear probe is better than vanilla fine-tuning beyond the noise: +2.2" in text
    assert "A linear probe is" not in render_report(results())
