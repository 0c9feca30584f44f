"""Serve a fine-tuned model: a page and a JSON endpoint."""

import logging
import threading
import warnings

from pipeline.artifacts import Store
from pipeline.common.project import project_root
from pipeline.deployment.description import shared_name
from pipeline.deployment.listening import listening, serve
from pipeline.deployment.server import Classifier, create_app
from pipeline.deployment.target_model import load_target_model, trained_method
from pipeline.deployment.uploads import Limits
from pipeline.params import Params


def run(params: Params, method: str | None, host: str, port: int) -> None:
    store = Store(project_root(), params.sample)
    place = listening(host, port)
    method = trained_method(store, params.fine_tune.methods, method)
    model = load_target_model(store, params, method)
    relationship = store.load_relationship().matrix
    classify = Classifier(model, relationship, store.load_categories(), threading.Lock())
    # What their readers think of the files and forms that clients send fills no log.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    app = create_app(classify, shared_name(params.source_model.name), Limits())
    serve(app, method, host, place)
