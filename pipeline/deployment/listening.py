"""A server's process: where it listens, and how it ends."""

import logging
import socket

import uvicorn
from starlette.types import ASGIApp

from pipeline.common.errors import UserError
from pipeline.deployment.connections import BoundedProtocol

log = logging.getLogger(__name__)


def serve(app: ASGIApp, name: str, host: str, place: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM, which are how a server ends, and no failure.

    Args:
        name: of what is served, for the message.
        place: of listening(host, ...).
    """
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_level="warning",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
    )
    shown = f"[{host}]" if ":" in host else host
    log.info("%s is served at http://%s:%d; Ctrl-C ends it", name, shown, place.getsockname()[1])
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[place])
    except (KeyboardInterrupt, SystemExit):
        # uvicorn finishes what it has begun, then raises the signal again.
        if not server.should_exit:
            raise


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens before anything is loaded; who comes too early waits.

    Raises:
        UserError: the port is taken, or the host is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        place = socket.socket(family, socket.SOCK_STREAM)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, port))
        # Two sockets can be bound to a port as long as neither listens.
        place.listen()
    except OSError as error:
        raise UserError(
            f"{host}:{port} cannot be listened at ({error.strerror or error}); "
            "give another --port, or 0 for a free one"
        ) from None
    return place
