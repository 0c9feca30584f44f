"""What holds of every connection and every answer, whatever is asked for."""

import asyncio
import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

# The page asks for nothing from elsewhere, and no text in it can become a script or a style.
POLICY = "default-src 'self'; img-src 'self' blob:; base-uri 'none'; frame-ancestors 'none'"
# Swagger's page starts by a script in it, and draws with styles and pictures in it.
API_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
)
API_PAGE = "/docs"
LONGEST_LOGGED = 80  # characters of a path

log = logging.getLogger(__name__)


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 that lets go of a client whose request does not begin in time.

    uvicorn itself waits for the end of a request's headers without a bound.
    """

    seconds = 20.0
    due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.due:
            self.due.cancel()

    def _await_request(self) -> None:
        if self.due:
            self.due.cancel()
        self.due = self.loop.call_later(self.seconds, self._let_go)

    def _let_go(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def guarded(app: ASGIApp) -> ASGIApp:
    """The app with headers that protect its pages, and a line in the log for each answer.

    An answer that is given before the request's body is there ends the connection: what else the
    client sends is not read.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        begun = time.perf_counter()
        complete = not _has_body(scope)

        async def receive_noting_the_end() -> Message:
            nonlocal complete
            message = await receive()
            complete = complete or not message.get("more_body", False)
            return message

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                api = scope["path"] == API_PAGE
                headers["Content-Security-Policy"] = API_POLICY if api else POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                if not complete:
                    headers["Connection"] = "close"
                path = scope["raw_path"].decode("ascii", "replace")[:LONGEST_LOGGED]
                took = 1000 * (time.perf_counter() - begun)
                log.info("%s %s %d, %.0f ms", scope["method"], path, message["status"], took)
            await send(message)

        await app(scope, receive_noting_the_end, send_with_headers)

    return call


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
