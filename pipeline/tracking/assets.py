"""The images that a run read and the models that it made, as MLflow's own columns show them."""

import csv
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
)

from pipeline.tracking.pipelines import read_params

MODEL = "model.safetensors"
LONGEST_DIGEST = 36


def log_datasets(client: MlflowClient, run_id: str, root: Path, inputs: Mapping[Path, str]) -> None:
    """The samples whose manifests are among the inputs, which come with their hashes: digest, and
    images of each split.
    """
    section = read_params(root / "params.yaml").get("prepare_data", {})
    name = Path(str(section.get("root", "images"))).name
    found = []
    for path, content in inputs.items():
        if path.parent.name == "manifests":
            with path.open(newline="") as file:
                splits = Counter(row["split"] for row in csv.DictReader(file))
            source = json.dumps({"uri": str(section.get("root", ""))})
            digest, profile = content[:LONGEST_DIGEST], json.dumps(splits)
            dataset = Dataset(f"{name} {path.stem}", digest, "local", source, profile=profile)
            found.append(DatasetInput(dataset, [InputTag("mlflow.data.context", "sample")]))
    if found:
        client.log_inputs(run_id, found)


def log_model(
    client: MlflowClient,
    experiment: str,
    run_id: str,
    outputs: Path,
    written: Mapping[Path, str],
    of: Mapping[str, str | int],
) -> None:
    """The fine-tuned model of a stage's outputs, which come with their hashes; its file stays where
    it is, known by its hash.
    """
    path = outputs / MODEL
    if path not in written:
        return
    tags = {"md5": written[path], "path": str(path)}
    model = client.create_logged_model(
        experiment,
        name="-".join(map(str, of.values())).replace("+", "_") or "model",
        source_run_id=run_id,
        tags=tags,
        params={name: str(value) for name, value in of.items()},
        model_type="classifier",
    )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def log_model_input(
    client: MlflowClient, experiment: str, run_id: str, inputs: Mapping[Path, str]
) -> None:
    """The fine-tuned model among the inputs, where a run of this experiment made it."""
    for path, content in inputs.items():
        if path.name == MODEL:
            known = client.search_logged_models(
                [experiment], f"tags.md5 = '{content}'", max_results=1
            )
            if known:
                client.log_inputs(run_id, models=[LoggedModelInput(known[0].model_id)])
