"""A model behind MLflow's own server."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError


@contextlib.contextmanager
def serving(folder: Path, log: Path) -> Iterator[str]:
    """The address of a server of MLflow's own, on loopback, in this environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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
