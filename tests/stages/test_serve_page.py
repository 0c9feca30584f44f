"""The server's page in a browser, of classes whose names would be scripts."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serving_cot
from malformed import encoded
from playwright.sync_api import Browser, Page, Route, expect
from serving_cot import Server
from trained_project import write_trained

from pipeline.artifacts import Store
from pipeline.common.formats import write_json

pytestmark = [pytest.mark.slow, pytest.mark.processes]
FITS = "document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"
COLOURS = "() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color] }"
HOSTILE = ['"><img src=x onerror=alert(1)>', "</script><script>alert(2)</script>" + "long" * 30]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_trained(tmp_path_factory.mktemp("page"))
    write_json(
        Store(root).path("prepare-data", "classes.json"), {"classes": HOSTILE, "source_folders": []}
    )
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    with serving_cot.served(root) as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    return server.url


def opened(browser: Browser, url: str, troubles: list[str], **context: Any) -> Page:
    """A page of the server; what goes wrong in it is added to `troubles`."""
    page = browser.new_context(**context).new_page()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    own = (url[: url.index("/", 8)] + "/", "blob:", "data:")
    page.on("request", lambda one: None if one.url.startswith(own) else troubles.append(one.url))
    page.goto(url)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_classifies_an_image_that_is_chosen(
    browser: Browser, root: Path, url: str, width: int, scheme: str
) -> None:
    troubles: list[str] = []
    size = {"width": width, "height": 900}
    page = opened(browser, f"{url}/", troubles, viewport=size, color_scheme=scheme)
    expect(page.locator("#model")).to_contain_text("2 classes, temperature 2.50")
    page.set_input_files("#file", root / "photos/20.png")
    expect(page.locator("#classes li")).to_have_count(2)
    assert set(page.locator("#classes .name").all_text_contents()) == set(HOSTILE)
    assert page.locator("#categories li").count() >= 8
    widths = [bar.bounding_box() for bar in page.locator("#classes .bar i").all()]
    assert widths[0]["width"] > widths[1]["width"]
    assert page.evaluate(FITS)
    ground, ink = (sum(map(int, colour[4:-1].split(","))) for colour in page.evaluate(COLOURS))
    assert (ground < ink) is (scheme == "dark")
    assert not troubles


def test_a_file_that_is_no_image_or_too_large_is_said_and_the_next_one_classified(
    browser: Browser, root: Path, url: str, tmp_path: Path
) -> None:
    page = opened(browser, f"{url}/", [])
    page.set_input_files("#file", root / "params.yaml")
    expect(page.locator("#trouble")).to_contain_text("the image cannot be read: not an image")
    expect(page.locator("#found")).to_be_hidden()
    large = tmp_path / "large.png"
    large.write_bytes(bytes(30_000_000))
    page.set_input_files("#file", large)
    expect(page.locator("#trouble")).to_contain_text("at most 20 MB")
    drawn = tmp_path / "drawn.tiff"
    drawn.write_bytes(encoded("TIFF"))
    page.set_input_files("#file", drawn)
    expect(page.locator("#found")).to_be_visible()
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator("#picture")).to_be_hidden()


def test_the_answer_of_an_image_that_was_replaced_is_not_shown(
    browser: Browser, root: Path, url: str
) -> None:
    page = opened(browser, f"{url}/", [])
    held: list[Route] = []
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/predict", hold_the_first)
    page.set_input_files("#file", root / "params.yaml")
    expect(page.locator("#drop.busy")).to_be_visible()
    page.set_input_files("#file", root / "photos/20.png")
    expect(page.locator("#classes li")).to_have_count(2)
    assert failed == [f"{url}/predict"]
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator("#drop.busy")).to_have_count(0)


def test_the_api_has_a_page_without_a_foreign_request(browser: Browser, url: str) -> None:
    troubles: list[str] = []
    page = opened(browser, f"{url}/docs", troubles)
    expect(page.locator("[data-path='/predict']")).to_be_visible()
    assert not troubles


def test_a_server_that_is_interrupted_ends_without_an_error(server: Server) -> None:
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) == 0
    said = server.log.read_text()
    assert "Traceback" not in said
    assert "Interrupted" not in said
