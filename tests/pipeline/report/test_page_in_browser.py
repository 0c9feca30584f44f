"""The report's page in a browser, opened as a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_exhibits import HOSTILE, page_exhibits, page_results
from playwright.sync_api import Browser, Page, expect

from pipeline.report.page import render_page

pytestmark = pytest.mark.processes
CHARTS = 3
FITS = "document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"
CONTRAST = """() => [document.body, document.querySelector(".chart text")].map(
  (element, place) => getComputedStyle(element)[place ? "fill" : "backgroundColor"])"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    found = page_results(12)
    path.write_text(render_page(found, page_exhibits(found, source=40)), encoding="utf-8")
    return path


def opened(browser: Browser, file: Path, troubles: list[str], **context: Any) -> Page:
    """The page, with its charts drawn; what goes wrong in it is added to `troubles`."""
    page = browser.new_context(**context).new_page()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url[:80]))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.goto(file.as_uri())
    if context.get("java_script_enabled", True):
        expect(page.locator(".drawn svg")).to_have_count(CHARTS)
        expect(page.locator(".still")).to_have_count(0)
    return page


def outside(troubles: list[str], file: Path) -> list[str]:
    """Without the request for the page itself and the pictures within it."""
    return [one for one in troubles if one != file.as_uri()[:80] and not one.startswith("data:")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_fits_without_an_error_or_a_request(
    browser: Browser, file: Path, width: int, scheme: str
) -> None:
    troubles: list[str] = []
    size = {"width": width, "height": 900}
    page = opened(browser, file, troubles, viewport=size, color_scheme=scheme)
    for folded in page.locator("summary").all():
        folded.click()
    assert page.evaluate(FITS)
    assert page.title() == "Did Co-Tuning help?"
    assert page.get_by_text(HOSTILE).count() > 3
    ground, ink = (sum(map(int, c[4:-1].split(","))) for c in page.evaluate(CONTRAST))
    assert (ground < ink) is (scheme == "dark")
    loaded = "images => images.every(one => one.complete && one.naturalWidth > 0)"
    assert page.eval_on_selector_all("img", loaded)
    assert page.locator("img").count() > 10
    assert outside(troubles, file) == []


def test_a_cell_of_the_map_names_its_category_and_probability(browser: Browser, file: Path) -> None:
    page = opened(browser, file, [], viewport={"width": 1400, "height": 900})
    found = page_results(12)
    exhibits = page_exhibits(found, source=40)
    shape = exhibits.relationship.shape
    row, category = np.unravel_index(exhibits.relationship.argmax(), shape)
    page.locator("[data-chart=relationship] .mark-rect path").first.hover()
    told = page.locator("#vg-tooltip-element.visible").inner_text().split()
    probability = exhibits.relationship[row, category]
    named = f"Class {found.classes[row]} Category {exhibits.categories[category]} Probability"
    assert " ".join(told[:-1]) == named
    assert float(told[-1].rstrip("%")) == pytest.approx(100 * probability, abs=0.006)


def test_the_page_is_read_without_scripts(browser: Browser, file: Path) -> None:
    troubles: list[str] = []
    size = {"width": 400, "height": 900}
    page = opened(browser, file, troubles, viewport=size, java_script_enabled=False)
    expect(page.locator(".still svg")).to_have_count(CHARTS)
    for chart in page.locator(".still svg").all():
        expect(chart).to_be_visible()
    page.get_by_text("The top categories of each class as a table").click()
    expect(page.get_by_role("cell", name="25.0%").first).to_be_visible()
    assert outside(troubles, file) == []
