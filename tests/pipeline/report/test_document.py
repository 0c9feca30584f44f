"""A report in Markdown as a page of one file."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from playwright.sync_api import Browser

from pipeline.report.document import render_document

TEXT = f"""# Did <b>it</b> help?

It did.

## Types of entities

| Type | {" | ".join(f"a long head {place}" for place in range(20))} |
| --- | {" | ".join(["---"] * 20)} |
| LOC | {" | ".join(["0.123"] * 20)} |

## Relationship

![rows](rows.png)
"""
FITS = "document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    plt.figure(figsize=(12, 3)).savefig(tmp_path / "rows.png")
    picture = (tmp_path / "rows.png").read_bytes()
    (tmp_path / "report.html").write_text(render_document(TEXT, {"rows.png": picture}))
    (tmp_path / "rows.png").unlink()
    return tmp_path / "report.html"


def test_html_of_the_text_is_shown_and_not_taken(file: Path) -> None:
    page = file.read_text()
    assert "<h1>Did &lt;b&gt;it&lt;/b&gt; help?</h1>" in page
    assert page.count("<section>") == page.count("<h2>") == 2
    assert page.index("It did.") < page.index("<section>")


@pytest.mark.processes
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_asks_for_nothing(browser: Browser, file: Path, width: int) -> None:
    troubles: list[str] = []
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("request", lambda request: troubles.append(request.url))
    page.goto(file.as_uri())
    assert page.evaluate(FITS)
    assert page.eval_on_selector("img", "image => image.naturalWidth") > 1000
    assert [one for one in troubles if not one.startswith("data:")] == [file.as_uri()]
