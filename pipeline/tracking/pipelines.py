"""The run of a whole pipeline, below which the runs of its stages lie."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from ruamel.yaml import YAML, YAMLError

from pipeline.common.damage import RUN, read_run
from pipeline.common.project import tracking_root
from pipeline.tracking.names import accepted, as_params
from pipeline.tracking.store import GROUPS_LOCK, standing_run

PARENT = "mlflow.parentRunId"
DESCRIPTION = "mlflow.note.content"
KEY = "pipeline"
PATIENCE = 60.0  # seconds, for the lock
LONGEST_DESCRIPTION = 4500  # characters; a tag holds 5,000 at least


def pipeline_run(
    client: MlflowClient, experiment: str, root: Path, state: Mapping[str, str]
) -> str:
    """The id of the run of the pipeline as it is: of this params.yaml and this commit.

    It is made by the first stage that asks; stages that run side by side find the same.

    Args:
        state: of the code, as git_tags gives it.

    Raises:
        OSError: another process holds the lock for a minute.
    """
    path = root / "params.yaml"
    text = path.read_text() if path.exists() else ""
    commit = state.get("mlflow.source.git.commit", "")
    key = hashlib.sha256(f"{commit}\n{root}\n{text}".encode()).hexdigest()
    tags = {**state, KEY: key, "mlflow.source.type": "LOCAL", "mlflow.source.name": "dvc repro"}
    params = as_params(read_params(path))
    with FileLock(tracking_root(root) / GROUPS_LOCK, timeout=PATIENCE):
        name = f"pipeline {commit[:8]}".strip()
        return standing_run(client, experiment, f"tags.{KEY} = '{key}'", name, tags, params)


def link_reused(client: MlflowClient, pipeline: str, root: Path) -> None:
    """Tags reused.<folder> with the runs of artifacts that an earlier pipeline made."""
    for path in sorted((root / "data").rglob(RUN)):
        made = client.get_run(read_run(root, path).run_id)
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
