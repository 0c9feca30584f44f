"""The report's page as a file."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from page_exhibits import CATEGORY, HOSTILE, page_exhibits, page_results
from report_results import WORSE

from pipeline.artifacts import Best
from pipeline.params import Params
from pipeline.params.sections import FineTune
from pipeline.report.page import render_page
from pipeline.report.page_charts import DRAWN_CELLS, relationship_map
from pipeline.report.results import Results
from pipeline.report.text_answer import verdict

LARGEST = 3_000_000  # bytes
COMPARED = ["The methods side by side", "What each class gains", "The relationship"]
SEVERAL = replace(WORSE, p_value=None, by_sample=(-0.05, -0.02, -0.023))


def page(found: Results) -> str:
    return render_page(found, page_exhibits(found))


def headings(text: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", text.partition("</main>")[0])


def only(found: Results, *methods: str) -> Results:
    """The results of these methods; the differences to vanilla are as in `found`."""
    metrics = dict.fromkeys(methods, found.metrics["vanilla"])
    histories = dict.fromkeys(methods, found.histories["vanilla"])
    return replace(found, metrics=metrics, histories=histories)


def test_the_page_answers_first_with_the_numbers_of_the_report() -> None:
    found = page_results()
    text = page(found)
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text))
    assert words.index(verdict(found.differences["co-tuning"])) < words.index(COMPARED[0])
    assert "95% interval +0.9 to +3.5" in words
    assert "50.0%40.0% to 60.0%" in words
    assert headings(text) == [*COMPARED, "Where the methods differ most", "How it was found"]
    for folded in ("Tuning", "Calibration of the source model", "Training", "How it was made"):
        assert f"<summary>{folded}</summary>" in text


def test_names_are_shown_and_never_taken_for_html() -> None:
    text = page(page_results())
    assert HOSTILE not in text
    assert CATEGORY not in text
    assert '<img src="x"' not in text
    shown = "&lt;script&gt;document.title = &#34;taken&#34;&lt;/script&gt;"
    assert f'<th scope="row">{shown}' in text


@pytest.mark.parametrize("methods", [("vanilla",), ("co-tuning",), ("l2-sp", "co-tuning+bss")])
def test_without_a_pair_to_compare_there_is_no_verdict(methods: tuple[str, ...]) -> None:
    found = only(page_results(), *methods)
    found = replace(found, differences={}, losses={}, gains=pd.DataFrame(), source_heads={})
    text = page(found)
    assert "<h1>Evaluation</h1>" in text
    assert "beyond the noise" not in text
    assert "To vanilla" not in text
    disputed = ["Where the methods differ most"] if len(methods) > 1 else []
    assert headings(text) == [COMPARED[0], COMPARED[2], *disputed, "How it was found"]


def test_a_method_beside_vanilla_without_co_tuning_has_its_difference() -> None:
    found = only(page_results(), "vanilla", "bss")
    found = replace(found, differences={"bss": WORSE}, losses={}, gains=pd.DataFrame())
    text = page(replace(found, source_heads={}))
    assert "<h1>Evaluation</h1>" in text
    assert "<b>-3.1</b><small>-4.5 to -1.7</small>" in text


def test_several_samples_without_a_search() -> None:
    found = replace(
        page_results(),
        params=Params(fine_tune=FineTune(seeds=(0, 1, 2))),
        differences={"co-tuning": SEVERAL},
        best=Best(2.3, 1.0),
        trials=pd.DataFrame(),
    )
    text = page(found)
    assert text.count('class="sample"') == 3
    assert "▼ Worse beyond the noise" in text
    assert "No search ran" in text
    assert "on the sample of seed 0" in text


def test_a_page_of_many_classes_and_categories_stays_small() -> None:
    found = page_results(200)
    text = render_page(found, page_exhibits(found, source=1000))
    assert len(text.encode()) < LARGEST
    assert "class 199" in text
    assert "Only the 30 classes that gain most and the 30 that gain least." in text


def test_the_map_draws_the_most_probable_cells() -> None:
    relationship = np.random.default_rng(1).dirichlet(np.full(300, 0.1), 120)
    spec = relationship_map(relationship, [str(n) for n in range(120)], ["c"] * 300)
    (cells,) = spec["datasets"].values()
    drawn = [cell["Probability"] for cell in cells]
    assert len(drawn) == DRAWN_CELLS
    assert max(drawn) == pytest.approx(relationship.max(), abs=1e-5)
    columns = relationship[:, sorted(set(relationship.argmax(axis=1)))]
    rest = np.sort(columns, axis=None)[: columns.size - DRAWN_CELLS]
    assert min(drawn) >= rest.max() - 1e-5
