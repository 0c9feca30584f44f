"""The run of a whole pipeline, below which the runs of its stages lie."""

import hashlib
import json
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from ruamel.yaml import YAML, YAMLError

from pipeline.common.project import tracking_root
from pipeline.tracking.names import accepted, as_params
from pipeline.tracking.provenance import git_tags

PARENT = "mlflow.parentRunId"
DESCRIPTION = "mlflow.note.content"
KEY = "pipeline"
PATIENCE = 60.0  # seconds, for the lock
MOST_PARAMS = 100  # that MLflow takes at once
LONGEST_DESCRIPTION = 4500  # characters; a tag holds 5,000 at least


def pipeline_run(client: MlflowClient, experiment: str, root: Path) -> str:
    """The id of the run of the pipeline as it is: of this params.yaml and this commit.

    It is made by the first stage that asks; stages that run side by side find the same. It is
    FINISHED from the beginning, since nothing tells when a pipeline is over.

    Raises:
        OSError: another process holds the lock for a minute.
    """
    path = root / "params.yaml"
    text = path.read_text() if path.exists() else ""
    tags = git_tags(root)
    commit = tags.get("mlflow.source.git.commit", "")
    key = hashlib.sha256(f"{commit}\n{root}\n{text}".encode()).hexdigest()
    with FileLock(tracking_root(root) / ".mlflow-groups.lock", timeout=PATIENCE):
        known = client.search_runs([experiment], f"tags.{KEY} = '{key}'", max_results=1)
        if known:
            return str(known[0].info.run_id)
        name = f"pipeline {commit[:8]}".strip()
        tags |= {KEY: key, "mlflow.source.type": "LOCAL", "mlflow.source.name": "dvc repro"}
        run_id = str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)
        params = as_params(read_params(path))
        for first in range(0, len(params), MOST_PARAMS):
            client.log_batch(run_id, params=params[first : first + MOST_PARAMS])
        client.set_terminated(run_id)
    return run_id


def link_reused(client: MlflowClient, pipeline: str, root: Path) -> None:
    """Tags reused.<folder> with the runs of artifacts that an earlier pipeline made."""
    for path in sorted((root / "data").rglob("run.json")):
        made = client.get_run(json.loads(path.read_text())["run_id"])
        if made.data.tags.get(PARENT) not in (None, pipeline):
            folder = path.parent.relative_to(root / "data").as_posix()
            client.set_tag(pipeline, accepted(f"reused.{folder}"), made.info.run_id)


def describe(client: MlflowClient, run_id: str, text: str) -> None:
    """Make a text in Markdown the description of a run; whole paragraphs of its beginning."""
    if len(text) > LONGEST_DESCRIPTION:
        text = text[:LONGEST_DESCRIPTION].rpartition("\n\n")[0] + "\n\n..."
    client.set_tag(run_id, DESCRIPTION, text)


def read_params(path: Path) -> dict[str, Any]:
    """The sections of params.yaml; none where it is missing or no YAML, which others refuse."""
    try:
        return dict(YAML(typ="safe").load(path.read_text()) or {})
    except (OSError, YAMLError, TypeError, ValueError):
        return {}
