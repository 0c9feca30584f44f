"""Serve a fine-tuned model: a page and a JSON endpoint."""

import logging
import socket
import threading
import warnings

import uvicorn

from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.common.project import project_root
from pipeline.deployment.connections import BoundedProtocol
from pipeline.deployment.server import Classifier, create_app
from pipeline.deployment.target_model import load_target_model, trained_method
from pipeline.deployment.uploads import Limits
from pipeline.params import Params

log = logging.getLogger(__name__)


def run(params: Params, method: str | None, host: str, port: int) -> None:
    store = Store(project_root(), params.sample)
    place = listening(host, port)
    method = trained_method(store, params.fine_tune.methods, method)
    model = load_target_model(store, params, method)
    relationship = store.load_relationship().matrix
    classify = Classifier(model, relationship, store.load_categories(), threading.Lock())
    app = create_app(classify, params.source_model.name, Limits())
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_level="warning",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
    )
    shown = f"[{host}]" if ":" in host else host
    log.info(
        "%s is served at http://%s:%d; Ctrl-C ends it", model.method, shown, place.getsockname()[1]
    )
    # What their readers think of the files and forms that clients send fills no log.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    serve_until_signal(uvicorn.Server(config), place)


def serve_until_signal(server: uvicorn.Server, place: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM, which are how a server ends, and no failure."""
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
