import math
import os
import shutil
import signal

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from pipeline.artifacts import Prepared
from pipeline.claims.pool import Pool
from pipeline.sources.source_model import SourceModel
from pipeline.tracking import runs

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SOURCE, SIDE, INPUT_SIZE = 5, 16, 12
COUNTS = {"train": 10, "validation": 4, "test": 8}  # of the pool

# Where the tests run in the background Ctrl-C is ignored, and their processes would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """The longest modules first, so that no process is left alone with one at the end."""

    def place(item):
        return item.get_closest_marker("slow") is None, len(item.path.parts)

    items.sort(key=place)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """MLflow's tables without a run: creating them takes seconds, copying the file none."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def project(tmp_path, empty_database, monkeypatch):
    """An empty project folder with a tracking database of its own."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def stage(project):
    """Run a stage that writes one file; give its finished run."""

    def run_stage(name, inputs=(), content="x", params=None):
        folder = project / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        with runs.stage_run(project, name, params or {}, list(inputs), folder) as run:
            (folder / "out.txt").write_text(content)
            run.log_metrics({"loss": 2.0, "absent": None}, step=1)
            run.log_metrics({"loss": 1.0}, step=2)
        return MlflowClient(f"sqlite:///{project / 'mlflow.db'}").get_run(run.run_id)

    return run_stage


@pytest.fixture
def no_network(monkeypatch):
    """Downloads fail at once, on a port where nothing listens."""
    # The hub's client lives as long as the process, with the proxy of its first request.
    huggingface_hub.close_session()
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    yield
    huggingface_hub.close_session()


@pytest.fixture
def bucket(monkeypatch):
    """URL of an empty S3 bucket on this machine, and the server's endpoint."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="models")
    yield "s3://models/photographs", endpoint
    server.stop()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; without one a test is skipped, in CI it fails."""
    from playwright.sync_api import sync_playwright

    place = next(filter(None, map(shutil.which, BROWSERS)), None)
    if place is None:
        message = f"no browser: none of {', '.join(BROWSERS)}; `make browser` installs one"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as driver, driver.chromium.launch(executable_path=place) as started:
        yield started


@pytest.fixture(scope="session")
def pool() -> Pool:
    """Three classes, 14 images of each to draw from and 8 for testing, and a tiny source model.

    An image is brightest in the channel of its class. Rows are in no order.
    """
    rng = np.random.default_rng(0)
    images_by_class = [
        (split, label, f"{label}/{split}-{number:02}.png")
        for split, count in COUNTS.items()
        for label in range(3)
        for number in range(count)
    ]
    manifest = pd.DataFrame(images_by_class, columns=["split", "label", "path"])
    manifest.insert(0, "row", rng.permutation(len(manifest)))
    labels = manifest.set_index("row")["label"].sort_index().to_numpy(copy=True)
    images = rng.integers(0, 128, (len(manifest), SIDE, SIDE, 3), dtype=np.uint8)
    images[np.arange(len(labels)), :, :, labels] += 100
    logits = torch.randn(len(labels), SOURCE, generator=torch.Generator().manual_seed(0))
    logits[torch.arange(len(labels)), torch.from_numpy(labels)] += 0.5
    logits *= 8  # far too sure, so that a temperature can be found
    logits[manifest.loc[manifest["split"] == "test", "row"].tolist()] = math.nan
    return Pool(Prepared(manifest, ["red", "green", "blue"], [], images), logits, new_source())


def new_source() -> SourceModel:
    """Four stages with convolutions, as DELTA needs them."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)),
    )
    categories = tuple(f"category {number}" for number in range(SOURCE))
    return SourceModel(
        backbone, nn.Linear(8, SOURCE), categories, (0.4,) * 3, (0.3,) * 3, INPUT_SIZE
    )
