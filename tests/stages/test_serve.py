"""The server as a process: right answers, uploads of all kinds, many and slow clients, its end."""

import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import serving_cot
from malformed import encoded, is_readable, malformed
from serving_cot import Server
from trained_project import write_trained

pytestmark = [pytest.mark.slow, pytest.mark.processes]
CLIENTS = 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def predictions(root: Path) -> Iterator[subprocess.Popen[str]]:
    with serving_cot.predicted(root) as process:
        yield process


@pytest.fixture(scope="module")
def rivals(root: Path, predictions: subprocess.Popen[str]) -> Iterator[tuple[Server, Server]]:
    """Two servers that were started at once at one port: the one that has it, and the other."""
    port = serving_cot.free_port()
    logs = [root / f"serve-{number}.log" for number in range(2)]
    both = [Server(serving_cot.start(root, log, port), ("127.0.0.1", port), log) for log in logs]
    try:
        while all(one.process.poll() is None for one in both):
            time.sleep(0.05)
        serving, ended = sorted(both, key=lambda one: one.process.poll() is not None)
        yield serving_cot.until_served(serving.process, serving.log), ended
    finally:
        for one in both:
            serving_cot.end(one.process)


@pytest.fixture(scope="module")
def server(rivals: tuple[Server, Server]) -> Server:
    return rivals[0]


@pytest.fixture(scope="module", autouse=True)
def slow(server: Server) -> Iterator[tuple[dict[str, socket.socket], list[Future[None]]]]:
    """Clients that stop in the middle, and some that never come to an end; while all else runs."""
    lines = {name: serving_cot.say(server, text) for name, (text, _) in serving_cot.SLOW.items()}
    drops = {
        serving_cot.HEAD: b"X: y\r\n",
        serving_cot.FORM + serving_cot.LONG + serving_cot.FILE: b"abc",
    }
    with ThreadPoolExecutor() as pool:
        yield lines, [pool.submit(serving_cot.drip, server, *pair) for pair in drops.items()]
    for line in lines.values():
        line.close()


@pytest.fixture
def url(server: Server) -> str:
    return server.url


def post(url: str, **body: Any) -> requests.Response:
    return requests.post(f"{url}/predict", timeout=60, **body)


def test_answers_are_those_of_cot_predict(
    root: Path, url: str, predictions: subprocess.Popen[str]
) -> None:
    rows = list(map(json.loads, predictions.communicate()[0].splitlines()))
    assert len(rows) == 12
    for row in rows:
        data = (root / row["path"]).read_bytes()
        kind = {"Content-Type": "image/png"}
        for body in {"files": {"image": data}}, {"data": data}, {"data": data, "headers": kind}:
            answer = post(url, **body)
            assert answer.status_code == 200, answer.text
            found = answer.json()["classes"]
            assert [one["name"] for one in found] == [one["class"] for one in row["top"]]
            wanted = [one["probability"] for one in row["top"]]
            np.testing.assert_allclose([one["probability"] for one in found], wanted, atol=1e-5)
    categories = answer.json()["categories"]
    assert {"name", "probability", "relationship"} == categories[0].keys()
    shares = [one["probability"] for one in categories]
    assert shares == sorted(shares, reverse=True)


def test_malformed_uploads_are_refused_and_the_server_lives_on(server: Server, url: str) -> None:
    good = encoded("JPEG")
    assert post(url, data=good).ok
    before = server.process.memory_info().rss
    bodies = {name: body for name, body in malformed().items() if not is_readable(body)}
    answers = {}
    for name, body in bodies.items():
        for file_name in ("photo.jpg", "photo.png"):
            answers[name, file_name] = post(url, files={"image": (file_name, body)})
        for kind in ("image/jpeg", "application/octet-stream"):
            answers[name, kind] = post(url, data=body, headers={"Content-Type": kind})
    assert len(answers) > 180
    form = {"Content-Type": "multipart/form-data"}
    garbled = {"Content-Type": "multipart/form-data; boundary=x"}
    answers |= {
        ("wrong field", ""): post(url, files={"photo": good}),
        ("no file", ""): post(url, data={"image": "x"}),
        ("two files", ""): post(url, files=[("image", good), ("image", good)]),
        ("no boundary", ""): post(url, data=good, headers=form),
        ("garbled form", ""): post(url, data=b"--x\r\nnothing", headers=garbled),
    }
    odd = {key: answer.status_code for key, answer in answers.items() if answer.status_code != 422}
    assert not odd
    assert all(answer.json()["detail"] for answer in answers.values())
    assert requests.get(f"{url}/health", timeout=20).json() == {"status": "ok"}
    assert post(url, data=good).ok
    assert server.process.memory_info().rss - before < 150e6


@pytest.mark.parametrize("chunked", [False, True])
def test_who_sends_somewhat_too_much_before_he_listens_is_told_how_much_is_taken(
    server: Server, chunked: bool
) -> None:
    line = http.client.HTTPConnection(*server.address, timeout=20)
    body = iter([bytes(3_000_000)] * 10) if chunked else bytes(30_000_000)
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    line.request("POST", "/predict", body=body, headers=headers, encode_chunked=chunked)
    with line.getresponse() as answer:
        assert answer.status == 413
        assert "at most 20 MB" in json.load(answer)["detail"]


@pytest.mark.parametrize("kind", serving_cot.ENDLESS)
def test_a_body_without_end_is_refused_and_not_read_on(server: Server, kind: str) -> None:
    before = server.process.memory_info().rss
    head, part, status = serving_cot.ENDLESS[kind]
    sent, found = serving_cot.send_without_end(server, head, part, 200_000_000)
    assert (found, sent < 100_000_000) == (status, True)
    assert requests.get(f"{server.url}/health", timeout=20).ok
    assert server.process.memory_info().rss - before < 100e6


def test_many_clients_at_once_all_get_their_own_answer(root: Path, url: str) -> None:
    images = [path.read_bytes() for path in sorted((root / "photos").iterdir())]

    def ask(number: int) -> dict[str, float]:
        classes = post(url, data=images[number % len(images)]).json()["classes"]
        return {one["name"]: one["probability"] for one in classes}

    alone = [ask(number) for number in range(len(images))]
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(ask, range(5 * CLIENTS)))
    for number, answer in enumerate(found):
        assert answer == pytest.approx(alone[number % len(images)])


def test_memory_does_not_grow_with_the_number_of_large_images(server: Server, url: str) -> None:
    large = encoded("JPEG", (1500, 1000))
    after = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(3):
            answers = pool.map(lambda data: post(url, data=data), [large] * CLIENTS)
            assert {answer.status_code for answer in answers} == {200}
            after.append(server.process.memory_info().rss)
    assert after[2] - after[0] < 100e6


def test_the_log_has_a_short_line_for_each_answer(server: Server, url: str) -> None:
    requests.get(f"{url}/%1B%5B31m%0Afalse", timeout=20)
    requests.get(f"{url}/{'long' * 200}", timeout=20)
    lines = server.log.read_text().splitlines()[1:]
    short = re.compile(r"(GET|POST) /[!-~]{0,79} \d{3}, \d+ ms")
    assert not [line for line in lines if not short.fullmatch(line)]
    assert any(line.startswith("GET /%1B%5B31m%0Afalse 404, ") for line in lines)


def test_the_api_is_described_and_its_files_alone_are_given(url: str) -> None:
    schema = requests.get(f"{url}/openapi.json", timeout=20).json()
    assert schema["paths"].keys() == {"/health", "/model", "/predict"}
    assert requests.get(f"{url}/%2e%2e/server.py", timeout=20).status_code == 404


def test_slow_clients_are_let_go(
    server: Server, slow: tuple[dict[str, socket.socket], list[Future[None]]]
) -> None:
    lines, dripping = slow
    for name, line in lines.items():
        heard = serving_cot.hear(line)
        assert (b" 408 " in heard) is serving_cot.SLOW[name][1], name
    for client in dripping:
        client.result(timeout=60)
    assert requests.get(f"{server.url}/health", timeout=20).ok


def test_a_port_that_another_server_took_before_it_was_ready_is_one_line(
    rivals: tuple[Server, Server],
) -> None:
    serving, ended = rivals
    assert requests.get(f"{serving.url}/health", timeout=20).ok
    assert ended.process.wait() == 1
    line = r"Error: 127\.0\.0\.1:\d+ cannot be listened at \(Address already in use\); .*\n"
    assert re.fullmatch(line, ended.log.read_text())


def test_a_server_that_is_terminated_first_gives_the_answer_it_has_begun(server: Server) -> None:
    data = encoded("PNG")
    head = serving_cot.HEAD + f"Content-Length: {len(data)}\r\n\r\n".encode()
    with serving_cot.say(server, head + data[:100]) as line:
        assert requests.get(f"{server.url}/health", timeout=20).ok
        server.process.terminate()
        line.sendall(data[100:])
        assert line.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(20) == 0
    assert "Traceback" not in server.log.read_text()
