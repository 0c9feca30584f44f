"""`cot serve` as a process, and clients that misbehave."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
FORM = HEAD + b"Content-Type: multipart/form-data; boundary=y\r\n"
LONG = b"Content-Length: 4000000000\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FILE = b'--y\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
PART = bytes(65_536)
CHUNK = b"10000\r\n" + PART + b"\r\n"
# Heads of requests whose bodies do not end, what is sent again and again, and the answer.
ENDLESS = {
    "length": (HEAD + LONG, PART, 413),
    "chunked": (HEAD + CHUNKED, CHUNK, 413),
    "form": (FORM + LONG + FILE, PART, 413),
    "broken form": (FORM + LONG + b"no form", PART, 422),
    "body of no use": (b"GET /health HTTP/1.1\r\nHost: x\r\n" + LONG, PART, 200),
    "no such method": (b"POST /page.css HTTP/1.1\r\nHost: x\r\n" + CHUNKED, CHUNK, 405),
}
# What clients say before they say no more, and whether they are told why they are let go.
SLOW = {
    "nothing": (b"", False),
    "half a line": (b"POST /pre", False),
    "half the headers": (HEAD, False),
    "half the body": (HEAD + b"Content-Length: 1000\r\n\r\nabc", True),
    "half a form": (FORM + b"Content-Length: 1000\r\n\r\n" + FILE, True),
    "a chunk": (HEAD + CHUNKED + b"3\r\nabc\r\n", True),
}


@dataclass(frozen=True)
class Server:
    """A process that serves.

    Attributes:
        address: host and port.
        log: the file of its standard error.
    """

    process: psutil.Popen
    address: tuple[str, int]
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"


def start(root: Path, log: Path, port: int = 0) -> psutil.Popen:
    with log.open("w") as errors:
        return psutil.Popen(["cot", "serve", "--port", str(port)], cwd=root, stderr=errors)


@contextmanager
def served(root: Path) -> Iterator[Server]:
    """A server of a project, at a free port, for as long as the block takes."""
    log = root / "serve.log"
    process = start(root, log)
    try:
        yield until_served(process, log)
    finally:
        end(process)


def end(process: psutil.Popen) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
    process.wait()


def until_served(process: psutil.Popen, log: Path) -> Server:
    while not (found := re.search(r"served at http://(\S+):(\d+);", log.read_text())):
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    return Server(process, (found[1], int(found[2])), log)


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


def send_without_end(server: Server, head: bytes, part: bytes, most: int) -> tuple[int, int]:
    """Bytes that could be sent until the server closed the connection, and its status."""
    with socket.create_connection(server.address, timeout=20) as line:
        line.sendall(head)
        sent = 0
        try:
            while sent < most:
                line.sendall(part)
                sent += len(part)
        except OSError:
            pass
        return sent, int(line.recv(1000).split()[1])


def say(server: Server, text: bytes) -> socket.socket:
    line = socket.create_connection(server.address, timeout=40)
    line.sendall(text)
    return line


def hear(line: socket.socket) -> bytes:
    """All that the server says until it closes the connection."""
    heard = b""
    while part := line.recv(1000):
        heard += part
    return heard


def predicted(root: Path) -> subprocess.Popen[str]:
    """`cot predict` of the project's photos, on its way."""
    command = ["cot", "predict", "photos", "--format", "json"]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)


def drip(server: Server, head: bytes, drop: bytes) -> None:
    """Say a little more every half second, for as long as the server listens."""
    with say(server, head) as line:
        try:
            while True:
                line.sendall(drop)
                time.sleep(0.5)
        except OSError:
            return
