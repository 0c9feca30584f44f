"""A model in MLflow's registry, and behind its own server."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from serving_cot import free_port

WEIGHTS = "data/fine-tune/vanilla/seed-0/model.safetensors"


@contextlib.contextmanager
def serving(folder: Path, log: Path) -> Iterator[str]:
    """The address of a server of MLflow's own, on loopback, in this environment."""
    port = free_port()
    command = ["mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("w") as messages:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            **{"cwd": "/", "env": environment, "stdout": messages, "stderr": messages},
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/ping", server, log)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(URLError, ConnectionError), urllib.request.urlopen(address):
            return
        time.sleep(0.2)
    raise AssertionError(log.read_text())


def ask(address: str, *values: str | None, column: str = "image") -> Any:
    """A row a value."""
    payload = {"dataframe_split": {"columns": [column], "data": [[value] for value in values]}}
    request = urllib.request.Request(
        *(f"{address}/invocations", json.dumps(payload).encode()),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def registered_from(
    project: Path, client: MlflowClient, version: ModelVersion, read: str
) -> tuple[Run, dict[str, Any]]:
    """The finished run of a version that vanilla made, which knows what is behind it, and the
    metrics of the model.

    Args:
        read: the tag of what was trained on.
    """
    behind = json.loads((project / WEIGHTS).with_name("run.json").read_text())["run_id"]
    trained_by = client.get_run(behind).data.tags
    assert version.tags[read] == trained_by[read]
    assert version.tags[f"input.{WEIGHTS}"] == trained_by[f"output.{WEIGHTS}"]
    assert (version.tags["method"], version.tags["run.fine-tune"]) == ("vanilla", behind)
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    return run, json.loads((project / "data/evaluate/vanilla/seed-0/metrics.json").read_text())
