"""The shared view of MLflow's page."""

import json
from pathlib import Path

from mlflow import MlflowClient

from pipeline.tracking.store import connect
from pipeline.tracking.views import COLUMNS, TAG


def tag_of(client: MlflowClient, experiment: str) -> str | None:
    return client.get_experiment(experiment).tags.get(TAG)


def test_an_experiment_has_it_from_the_beginning_and_an_older_one_gets_it(project: Path) -> None:
    client, experiment = connect(project)
    written = tag_of(client, experiment)
    assert written
    state = json.loads(written)
    assert state["searchFilter"] == "tags.stage = 'evaluate'"
    assert state["selectedColumns"] == list(COLUMNS)
    client.set_experiment_tag(experiment, TAG, "{}")
    connect(project)
    assert tag_of(client, experiment) == written
