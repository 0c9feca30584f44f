"""A hub that has no such model, or cannot be reached, is asked once."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest

from pipeline.common.errors import UserError
from pipeline.language.source import load_language_model
from pipeline.sources.hub import require_on_hub
from pipeline.sources.models import load_source_model


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """What an empty hub was asked for; nothing was fetched from it before."""
    paths: list[str] = []

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *given: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(
        huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}"
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    yield paths
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "asked_for"),
    [
        ("hf:nobody/nothing", "nobody/nothing"),
        ("timm:resnet10t.c3_in1k", "timm/resnet10t.c3_in1k"),
    ],
)
def test_a_classifier_that_the_hub_has_not_is_asked_for_once(
    name: str, asked_for: str, asked: list[str]
) -> None:
    with pytest.raises(UserError, match="network access"):
        load_source_model(name, "published", 32)
    assert [path for path in asked if asked_for in path] == [f"/api/models/{asked_for}"]


def test_a_language_model_that_the_hub_has_not_is_asked_for_once(asked: list[str]) -> None:
    with pytest.raises(UserError, match="network access"):
        load_language_model("hf:nobody/nothing")
    assert [path for path in asked if "nobody" in path] == ["/api/models/nobody/nothing"]


def test_a_model_that_was_fetched_before_is_not_asked_for(tmp_path: Path, asked: list[str]) -> None:
    repository = tmp_path / "models--some--model"
    for place, text in {"refs/main": "abc", "snapshots/abc/config.json": "{}"}.items():
        (repository / place).parent.mkdir(parents=True)
        (repository / place).write_text(text)
    require_on_hub("some/model", "config.json")
    require_on_hub(str(tmp_path), "config.json")
    assert not asked
    with pytest.raises(OSError, match="404"):
        require_on_hub("some/model", "model.safetensors")


@pytest.mark.usefixtures("no_network")
def test_a_name_that_none_can_have_is_refused() -> None:
    with pytest.raises(OSError, match="nor/a/name"):
        require_on_hub("nor/a/name", "config.json")
