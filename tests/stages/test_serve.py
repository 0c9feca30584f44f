"""The server as a process: right answers, malformed uploads, many clients, and its page."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from malformed import encoded, is_readable, malformed
from playwright.sync_api import expect, sync_playwright
from trained_project import write_trained

pytestmark = [pytest.mark.slow, pytest.mark.processes]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FITS = "document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"
CLIENTS = 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[tuple[str, psutil.Process]]:
    command = ["cot", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    found = None
    while found is None:
        line = process.stderr.readline()
        assert line, "the server ended"
        found = re.search(r"served at (http://\S+);", line)
    yield found[1], psutil.Process(process.pid)
    process.terminate()
    assert process.wait(20) in (0, 143)


@pytest.fixture
def url(server: tuple[str, psutil.Process]) -> str:
    return server[0]


def test_answers_are_those_of_cot_predict(root: Path, url: str) -> None:
    text = subprocess.run(
        ["cot", "predict", "photos", "--format", "json"], cwd=root, capture_output=True, text=True
    ).stdout
    for line in text.splitlines():
        row = json.loads(line)
        data = (root / row["path"]).read_bytes()
        for answer in (
            requests.post(f"{url}/predict", files={"image": data}, timeout=20),
            requests.post(f"{url}/predict", data=data, timeout=20),
        ):
            assert answer.status_code == 200, answer.text
            found = answer.json()["classes"]
            assert [one["name"] for one in found] == [one["class"] for one in row["top"]]
            wanted = [one["probability"] for one in row["top"]]
            np.testing.assert_allclose([one["probability"] for one in found], wanted, atol=1e-5)
    categories = answer.json()["categories"]
    assert {"name", "probability", "relationship"} == categories[0].keys()
    shares = [one["probability"] for one in categories]
    assert shares == sorted(shares, reverse=True)


def test_malformed_uploads_are_refused_and_the_server_lives_on(
    server: tuple[str, psutil.Process],
) -> None:
    url, process = server
    good = encoded("JPEG")
    assert requests.post(f"{url}/predict", data=good, timeout=20).ok
    before = process.memory_info().rss
    bodies = {name: body for name, body in malformed().items() if not is_readable(body)}
    assert len(bodies) > 40
    answers = {}
    for name, body in bodies.items():
        for file_name in ("photo.jpg", "photo.png"):
            files = {"image": (file_name, body)}
            answers[name, file_name] = requests.post(f"{url}/predict", files=files, timeout=20)
        for kind in ("image/jpeg", "application/octet-stream"):
            headers = {"Content-Type": kind}
            answers[name, kind] = requests.post(
                f"{url}/predict", data=body, headers=headers, timeout=20
            )
    post = f"{url}/predict"
    answers["wrong field", ""] = requests.post(post, files={"photo": good}, timeout=20)
    answers["no file", ""] = requests.post(post, data={"image": "x"}, timeout=20)
    two = [("image", good), ("image", good)]
    answers["two files", ""] = requests.post(post, files=two, timeout=20)
    headers = {"Content-Type": "multipart/form-data"}
    answers["no boundary", ""] = requests.post(post, data=good, headers=headers, timeout=20)
    answers["garbled form", ""] = requests.post(
        post, data=b"--x\r\nnothing", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    odd = {key: answer.status_code for key, answer in answers.items() if answer.status_code != 422}
    assert not odd
    assert all(answer.json()["detail"] for answer in answers.values())
    assert requests.get(f"{url}/health", timeout=20).json() == {"status": "ok"}
    assert requests.post(post, data=good, timeout=20).ok
    assert process.memory_info().rss - before < 150e6


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_while_it_arrives(url: str, chunked: bool) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(60):
            yield bytes(1_000_000)

    body = parts() if chunked else bytes(60_000_000)
    try:
        answer = requests.post(f"{url}/predict", data=body, timeout=20)
    except requests.ConnectionError:
        pass  # it closed the door before all was said
    else:
        assert answer.status_code == 413
    assert requests.get(f"{url}/health", timeout=20).ok


def test_a_client_that_stops_in_the_middle_is_let_go(url: str) -> None:
    place = url.removeprefix("http://").split(":")
    with socket.create_connection((place[0], int(place[1])), timeout=40) as line:
        line.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        assert b" 408 " in line.recv(1000)
    assert requests.get(f"{url}/health", timeout=20).ok


def test_many_clients_at_once_all_get_their_own_answer(root: Path, url: str) -> None:
    images = [path.read_bytes() for path in sorted((root / "photos").iterdir())]

    def ask(number: int) -> list[dict[str, float]]:
        data = images[number % len(images)]
        return requests.post(f"{url}/predict", data=data, timeout=60).json()["classes"]

    alone = [ask(number) for number in range(len(images))]
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(ask, range(5 * CLIENTS)))
    for number, answer in enumerate(found):
        wanted = {one["name"]: one["probability"] for one in alone[number % len(images)]}
        assert {one["name"]: one["probability"] for one in answer} == pytest.approx(wanted)


def test_a_port_that_is_taken_is_one_line(root: Path, url: str) -> None:
    port = url.rsplit(":", 1)[1]
    command = ["cot", "serve", "--port", port]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert result.returncode == 1
    assert re.fullmatch(r"Error: 127\.0\.0\.1:\d+ cannot be listened at .*\n", result.stderr)


def test_the_api_has_a_page_of_its_own_without_a_foreign_request(url: str) -> None:
    schema = requests.get(f"{url}/openapi.json", timeout=20).json()
    assert schema["paths"].keys() == {"/health", "/model", "/predict"}
    text = requests.get(f"{url}/docs", timeout=20).text
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", text)
    assert requests.get(f"{url}/api-page/swagger-ui-bundle.js", timeout=20).ok
    assert requests.get(f"{url}/%2e%2e/server.py", timeout=20).status_code == 404


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_classifies_an_image_that_is_chosen(root: Path, url: str, width: int) -> None:
    place = next(filter(None, map(shutil.which, BROWSERS)), None)
    if place is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no browser; `make browser` installs one")
        pytest.skip("no browser; `make browser` installs one")
    troubles: list[str] = []
    with sync_playwright() as driver, driver.chromium.launch(executable_path=place) as browser:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda one: troubles.append(one.url) if url not in one.url else None)
        page.goto(url)
        expect(page.locator("#model")).to_contain_text("2 classes, temperature 2.50")
        page.set_input_files("#file", root / "photos/20.png")
        expect(page.locator("#classes li")).to_have_count(2)
        assert page.locator("#categories li").count() >= 8
        assert page.evaluate(FITS)
        assert not troubles
        page.set_input_files("#file", root / "params.yaml")
        expect(page.locator("#trouble")).to_contain_text("the image cannot be read: not an image")
        expect(page.locator("#found")).to_be_hidden()
