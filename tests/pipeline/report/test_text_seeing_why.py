"""The words of the section that says why."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts import Best, Calibration
from pipeline.datasets.sizes import Sizes
from pipeline.params import Params
from pipeline.report.results import Results
from pipeline.report.text_seeing_why import seeing_why


def source_head(before: float, after: float, uniform: float) -> dict[str, Any]:
    means = {"before": before, "after": after, "uniform": uniform}
    return {name: {"mean": mean, "by_class": {}} for name, mean in means.items()}


def gains_of(count: int) -> pd.DataFrame:
    difference = np.linspace(0.3, -0.2, count)
    return pd.DataFrame(
        {
            "class": [f"class {index}" for index in range(count)],
            "images": 1200,
            "vanilla": 0.5,
            "co_tuning": 0.5 + difference,
            "difference": difference,
            "low": difference - 0.1,
            "high": difference + 0.1,
            "row_entropy": np.arange(count) / 10,
            "g_accuracy": [np.nan, *np.linspace(0.1, 0.9, count - 1)],
        }
    )


def results(classes: int = 4) -> Results:
    gains = gains_of(classes)
    return Results(
        params=Params(),
        sizes=Sizes(112, 128, 224),
        classes=gains["class"].tolist(),
        manifest=pd.DataFrame({"split": ["validation"] * 3 + ["test"], "label": 0}),
        metrics={},
        losses={},
        differences={},
        histories={},
        calibration=Calibration(1.7, "target-likelihood", False, 1.2, 1.1, 0.2, 0.1),
        best=Best(2.3, 1.9),
        trials=pd.DataFrame(),
        diagnostics={},
        top_categories=pd.DataFrame(),
        gains=gains,
        source_heads={
            "vanilla": source_head(4.0, 5.0, 3.0),
            "co-tuning": source_head(4.0, 1.5, 3.0),
        },
        pictures={"class-gains.png"},
    )


def text_of(found: Results) -> str:
    return "\n".join(seeing_why(found))


def rows_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| class ")]


def test_every_class_has_a_row_with_difference_and_interval() -> None:
    rows = rows_of(text_of(results()))
    assert len(rows) == 4
    assert rows[0] == (
        "| class 0 | 1,200 | 50.0% | 80.0% | +30.0 (+20.0 to +40.0) | 0.00 | not known |"
    )
    assert rows[3].endswith("| -20.0 (-30.0 to -10.0) | 0.30 | 90% |")


@pytest.mark.parametrize(("classes", "listed"), [(20, 20), (21, 20), (200, 20)])
def test_of_many_classes_only_both_ends_are_listed(classes: int, listed: int) -> None:
    text = text_of(results(classes))
    names = [row.split(" | ")[0] for row in rows_of(text)]
    assert len(names) == len(set(names)) == listed
    assert names[0] == "| class 0"
    assert names[-1] == f"| class {classes - 1}"
    assert (f"of {classes} classes only the 10 to which" in text) is (classes > listed)


def test_classes_without_a_test_image_are_counted() -> None:
    found = results()
    assert "left out" not in text_of(found)
    text = text_of(replace(found, classes=[*found.classes, "a", "b"]))
    assert "Classes without a test image, left out: 2." in text


def test_a_rank_correlation_of_few_classes_says_little() -> None:
    few, many = text_of(results(4)), text_of(results(200))
    assert "-1.00 with the entropy of R's row and -1.00 with the accuracy of g" in few
    assert "Over 3 classes that of unrelated quantities scatters" in few
    assert "deviation of 0.71, so this says little." in few
    assert "deviation of 0.07." in many


def test_two_classes_have_no_rank_correlation() -> None:
    assert "Too few classes, or too equal ones, for a rank correlation." in text_of(results(2))


def test_the_source_head_is_tabled_before_and_after_each_method() -> None:
    text = text_of(results())
    assert "mean over the 3 validation images" in text
    rows = ["| before fine-tuning | 4.00 |", "| after vanilla | 5.00 |"]
    rows += ["| after co-tuning | 1.50 |", "| all categories equally likely | 3.00 |"]
    assert "\n".join(rows) in text
    assert "changes the features that it reads: from 4.00 to 5.00 nats." in text


@pytest.mark.parametrize(
    ("after", "moved", "knows"),
    [
        (1.0, "has moved towards R", "closer to R than"),
        (3.5, "has moved towards R", "no closer to R than"),
        (4.0, "has not moved towards R", "no closer to R than"),
    ],
)
def test_the_source_head_has_moved_or_has_not(after: float, moved: str, knows: str) -> None:
    heads = {"co-tuning": source_head(4.0, after, 3.0)}
    text = text_of(replace(results(), source_heads=heads))
    assert f"**The source head {moved}** in co-tuning: from 4.00 to {after:.2f} nats, {knows}" in (
        text
    )
    assert "Vanilla" not in text


def test_without_a_comparison_the_source_head_alone_is_shown() -> None:
    text = text_of(replace(results(), gains=pd.DataFrame()))
    assert "### The source head" in text
    assert "class-gains.png" not in text
    assert "Spearman" not in text


def test_without_co_tuning_there_is_no_such_section() -> None:
    heads = {"vanilla": source_head(4.0, 5.0, 3.0)}
    found = replace(results(), gains=pd.DataFrame(), source_heads=heads)
    assert text_of(found) == ""
