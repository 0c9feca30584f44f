"""A fine-tuned tagger behind HTTP, as a process, and its page in a browser."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import serving_cot
from playwright.sync_api import Browser, expect
from serving_cot import Server
from trained_text import write_trained_text

from stages.running import run_stage

pytestmark = [pytest.mark.slow, pytest.mark.processes]
TEXT = "they bought Globex Corp Acme\n\n in  Rome it rains\n"
FITS = "document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    return write_trained_text(tmp_path_factory.mktemp("serve"), empty_database)


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    with serving_cot.served(root) as server:
        yield server


def test_answers_are_those_of_cot_predict(
    root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (root / "mine.txt").write_text(TEXT)
    given = {"method": None, "form": "json", "output": root / "found.jsonl", "top": 3}
    run_stage("predict", None, None, seed=None, files=[root / "mine.txt"], **given)
    rows = [json.loads(line) for line in (root / "found.jsonl").read_text().splitlines()]
    answer = requests.post(f"{server.url}/predict", data=TEXT.encode(), timeout=60)
    assert answer.status_code == 200, answer.text
    found = answer.json()["entities"]
    told = [(one["line"], one["text"], one["type"], one["probability"]) for one in found]
    wanted = [(row["line"], row["text"], row["class"], row["probability"]) for row in rows]
    assert told == [(*known, pytest.approx(value, abs=1e-5)) for *known, value in wanted]
    assert found
    for one in found:
        words = TEXT.split("\n")[one["line"] - 1].split()
        assert " ".join(words[one["first"] : one["end"]]) == one["text"]
    about = requests.get(f"{server.url}/model", timeout=60).json()
    assert about["method"] == "vanilla"
    assert about["source_model"] == "hf:model"  # where its folder lies concerns nobody else
    assert about["types"] == ["LOC", "ORG", "PER"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "there is no word"),
        (b" \n\t", 422, "there is no word"),
        ("M\xe1laga".encode("latin-1"), 422, "not in UTF-8"),
        (b"Rome " * 100_000, 413, "at most 0.1 MB are taken"),
        (b"\xe2\x80\x8b", 200, ""),  # nothing that the tokenizer could read
        (b"\x00\x1f Rome", 200, ""),
        (b"Rome " * 5_000, 200, ""),  # in one line
    ],
)
def test_odd_texts_are_refused_or_answered(
    server: Server, body: bytes, status: int, words: str
) -> None:
    answer = requests.post(f"{server.url}/predict", data=body, timeout=60)
    assert answer.status_code == status
    assert words in str(answer.json().get("detail", ""))
    assert requests.get(f"{server.url}/health", timeout=20).json() == {"status": "ok"}


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_marks_entities_while_one_writes(
    browser: Browser, server: Server, width: int
) -> None:
    troubles: list[str] = []
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(server.url)
    expect(page.locator("#model")).to_contain_text("LOC, ORG, PER")
    page.locator("#text").type("in Rome it rains")
    expect(page.locator("mark")).to_have_count(1)
    expect(page.locator("mark")).to_contain_text("Rome LOC".replace(" ", ""))
    expect(page.locator("#lines p")).to_contain_text("it rains")
    page.locator("#text").fill("<img src=x onerror=alert(1)> Ann Smith sleeps\n" * 3)
    expect(page.locator("#lines p")).to_have_count(3)
    assert page.evaluate(FITS)
    page.locator("#text").fill("")
    expect(page.locator("#found")).to_be_hidden()
    assert not troubles
    page.context.close()


def test_it_ends_as_a_server_does(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert "POST /predict 200" in server.log.read_text()
