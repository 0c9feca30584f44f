"""The run of a pipeline, its data sets and models, in a real database."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from safetensors.numpy import save_file

from pipeline.common.errors import UserError
from pipeline.tracking.comparison import (
    differing_params,
    find_run,
    metrics_of_both,
    predictions_of,
)
from pipeline.tracking.pipelines import DESCRIPTION, LONGEST_DESCRIPTION, PARENT
from pipeline.tracking.runs import stage_run


@pytest.fixture
def client(project):
    return MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def write_params(project: Path, epochs: int) -> None:
    (project / "params.yaml").write_text(
        f"seed: 0\nprepare_data: {{root: photos}}\nfine_tune: {{epochs: {epochs}}}\n"
    )


def test_stages_of_one_params_yaml_lie_below_one_run_and_others_below_another(
    stage, project, client
):
    write_params(project, 3)
    first, second = stage("calibrate"), stage("tune")
    write_params(project, 4)
    third = stage("tune")
    parents = [run.data.tags[PARENT] for run in (first, second, third)]
    assert parents[0] == parents[1] != parents[2]
    parent = client.get_run(parents[0])
    assert parent.info.status == "FINISHED"
    assert parent.data.params["fine_tune.epochs"] == "3"
    assert parent.data.params["prepare_data.root"] == "photos"
    assert parent.info.end_time >= second.info.end_time


def test_more_params_than_mlflow_takes_at_once_are_all_there(stage, project, client):
    values = "\n".join(f"  value_{number}: {number}" for number in range(150))
    (project / "params.yaml").write_text(f"many:\n{values}\n")
    parent = client.get_run(stage("tune").data.tags[PARENT])
    assert len(parent.data.params) == 150


def test_what_an_earlier_pipeline_made_is_linked(stage, project, client):
    write_params(project, 3)
    earlier = stage("calibrate")
    write_params(project, 4)
    folder = project / "data/report"
    folder.mkdir(parents=True)
    with stage_run(project, "report", {}, [], folder) as run:
        run.conclude("text", {})
    parent = client.get_run(client.get_run(run.run_id).data.tags[PARENT])
    assert parent.data.tags["reused.calibrate"] == earlier.info.run_id


def test_what_was_found_is_said_on_the_pipelines_run(project, client):
    write_params(project, 3)
    folder = project / "data/report"
    folder.mkdir(parents=True)
    text = "# It helped\n\n" + "\n\n".join("A paragraph. " * 20 for _ in range(60))
    with stage_run(project, "report", {}, [], folder) as run:
        run.conclude(text, {"vanilla accuracy": 0.5})
    parent = client.get_run(client.get_run(run.run_id).data.tags[PARENT])
    assert parent.data.metrics == {"vanilla accuracy": 0.5}
    assert parent.data.tags[DESCRIPTION].startswith("# It helped\n\nA paragraph")
    assert len(parent.data.tags[DESCRIPTION]) <= LONGEST_DESCRIPTION + 5


def fine_tuned(project: Path) -> Path:
    """A model, and the manifest that it was made by."""
    manifest = project / "data/prepare-data/manifests/seed-0.csv"
    manifest.parent.mkdir(parents=True)
    splits = ["train"] * 5 + ["test"] * 2
    pd.DataFrame({"row": range(7), "split": splits}).to_csv(manifest, index=False)
    folder = project / "data/fine-tune/co-tuning/seed-0"
    folder.mkdir(parents=True)
    of = {"method": "co-tuning", "seed": 0}
    params = {"methods": ("vanilla", "co-tuning")}
    with stage_run(project, "fine-tune", params, [manifest], folder, of):
        save_file({"weight": np.ones(3)}, folder / "model.safetensors")
    return folder / "model.safetensors"


def test_data_sets_and_models_are_in_their_columns(project, client, caplog):
    write_params(project, 3)
    model = fine_tuned(project)
    folder = project / "data/evaluate/co-tuning/seed-0"
    folder.mkdir(parents=True)
    with stage_run(project, "evaluate", {}, [model], folder):
        pass
    experiment = client.get_experiment_by_name("co-tuning").experiment_id
    made = find_run(client, experiment, "fine-tune@co-tuning-0")
    [dataset] = made.inputs.dataset_inputs
    assert dataset.dataset.name == "photos seed-0"
    assert dataset.dataset.profile == '{"train": 5, "test": 2}'
    [output] = made.outputs.model_outputs
    assert client.get_logged_model(output.model_id).name == "co-tuning-0"
    judged = client.get_run(find_run(client, experiment, "evaluate").info.run_id)
    [used] = judged.inputs.model_inputs
    assert used.model_id == output.model_id
    assert made.data.params == {"method": "co-tuning", "seed": "0", "methods": "vanilla, co-tuning"}
    assert "cannot be written" not in caplog.text


def test_runs_are_found_by_id_beginning_and_name_and_compared(project, client, tmp_path):
    write_params(project, 3)
    runs = []
    for name, rate in (("a", 0.1), ("b", 0.2)):
        folder = project / "data" / name
        folder.mkdir(parents=True)
        with stage_run(project, name, {"rate": rate, "seed": 0}, [], folder) as run:
            run.log_metrics({"accuracy": rate})
            pd.DataFrame({"row": [0, 1], "label": [0, 1]}).to_csv(folder / "predictions.csv")
        runs.append(client.get_run(run.run_id))
    experiment = runs[0].info.experiment_id
    for named in (runs[0].info.run_id, runs[0].info.run_id[:12], "a"):
        assert find_run(client, experiment, named).info.run_id == runs[0].info.run_id
    with pytest.raises(UserError, match="there is no run c; runs are called a, b, pipeline"):
        find_run(client, experiment, "c")
    assert differing_params(*runs).to_numpy().tolist() == [["rate", "0.1", "0.2"]]
    assert metrics_of_both(*runs).to_numpy().tolist() == [["accuracy", 0.1, 0.2]]
    assert len(predictions_of(client, runs[1])) == 2
