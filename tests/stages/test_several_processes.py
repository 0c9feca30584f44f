"""extract-logits and fine-tune as a user starts them in two processes, and when it is ended."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image
from safetensors.torch import load_file
from sharing import PATIENCE, Started, environment, wait_until
from work import cot

from pipeline import params
from pipeline.common.processes import is_alive
from stages import calibrate, extract_logits, fine_tune, fit_relationship, prepare_data, tune

pytestmark = [pytest.mark.slow, pytest.mark.processes]

PARAMS = """
compute: {device: cpu, precision: float32}
source_model: {input_size: 32}
prepare_data: {source: image-folder, root: photos, stored_size: 36, images_per_class: null}
tune: {trials: 0}
fine_tune: {epochs: 2, batch_size: 8, learning_rate: 0.0001}
"""
TORCHRUN = ("torchrun", "--standalone", "--nproc-per-node", "2", "--no-python")
LOGITS, MODEL = "data/extract-logits/logits/seed-0.safetensors", "data/fine-tune/co-tuning/seed-0"


def call(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment())


def runs(project: Path, name: str) -> list[Run]:
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    return client.search_runs(experiments, f"attributes.run_name = '{name}'")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A project in which one process has run the stages up to fine-tune."""
    project = tmp_path_factory.mktemp("alone")
    (project / "params.yaml").write_text(PARAMS)
    shutil.copy(empty_database, project / "mlflow.db")
    rng = np.random.default_rng(0)
    for folder, colour in (("day", 170), ("night", 40)):
        (project / "photos" / folder).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(colour - 30, colour + 30, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(project / "photos" / folder / f"{number}.png")
    values = params.load(project / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for stage in (prepare_data, extract_logits, calibrate, tune, fit_relationship):
            stage.run(values)
        fine_tune.run(values, "co-tuning")
    return project


@pytest.fixture
def project(alone: Path, tmp_path: Path) -> Path:
    shutil.copytree(alone, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_two_processes_extract_the_same_logits(alone: Path, project: Path) -> None:
    (project / LOGITS).unlink()
    result = call(project, *TORCHRUN, "cot", "stage", "extract-logits")
    assert result.returncode == 0, result.stderr
    torch.testing.assert_close(
        load_file(project / LOGITS), load_file(alone / LOGITS), rtol=1e-4, atol=1e-4
    )
    assert [run.info.status for run in runs(project, "extract-logits")] == ["FINISHED"] * 2


def test_two_processes_fine_tune_to_the_same_model(alone: Path, project: Path) -> None:
    shutil.rmtree(project / MODEL)
    command = ("cot", "stage", "fine-tune", "--method", "co-tuning")
    result = call(project, *command, "--set", "compute.processes=2")
    assert (result.returncode, result.stderr) == (0, "")
    histories = [pd.read_csv(root / MODEL / "history.csv") for root in (project, alone)]
    # A deep network amplifies rounding from epoch to epoch, so the first alone is compared.
    found, expected = (history.loc[0, "target_loss":"source_loss"] for history in histories)
    pd.testing.assert_series_equal(found, expected, rtol=1e-3)
    states = [load_file(root / MODEL / "model.safetensors") for root in (project, alone)]
    assert states[0].keys() == states[1].keys()
    assert len(runs(project, "fine-tune@co-tuning-0")) == 2


def test_a_stage_that_knows_one_process_refuses_more_once(project: Path) -> None:
    result = call(project, *TORCHRUN, "cot", "stage", "calibrate")
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert errors == ["Error: calibrate runs in one process; start it without torchrun"]


@pytest.mark.parametrize("late", ["0", "1"])
def test_the_first_process_that_fails_says_why(project: Path, late: str) -> None:
    command = f"[ $LOCAL_RANK = {late} ] && exec sleep {PATIENCE}; exec cot stage calibrate"
    result = call(project, *TORCHRUN, "sh", "-c", command)
    assert result.returncode == 1
    assert "Error: calibrate runs in one process; start it without torchrun\n" in result.stderr


def test_an_error_is_one_line_where_params_ask_for_processes(project: Path) -> None:
    options = ("--set", "compute.processes=2", "--set", "fine_tune.batch_size=7")
    result = call(project, "cot", "stage", "fine-tune", "--method", "vanilla", *options)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: a batch of 7 images cannot be dealt out evenly to 2")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("ended", ["killed", "interrupted"])
def test_one_that_ends_ends_all(ended: str, project: Path) -> None:
    command = ["cot", "stage", "fine-tune", "--method", "co-tuning"]
    # More epochs than any machine has time for: it is at one of them whenever it is ended.
    options = ["--set", "compute.processes=2", "--set", "fine_tune.epochs=1000000"]
    process = subprocess.Popen(
        command + options,
        cwd=project,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    checkpoints = project / ".work/fine-tune/co-tuning"
    wait_until(lambda: process.poll() is not None or list(checkpoints.glob("[!.]*.pt")))
    assert process.poll() is None
    children = psutil.Process(process.pid).children()
    ranks = {child.environ().get("RANK"): child.pid for child in children}
    if ended == "interrupted":
        os.killpg(process.pid, signal.SIGINT)
    else:
        os.kill(ranks["1"], signal.SIGKILL)
    error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == (130 if ended == "interrupted" else 1)
    assert "Traceback" not in error
    if ended == "interrupted":
        assert error == "Interrupted; run it again to go on.\n"
    else:
        assert "Error: process 1 of 2 was ended by SIGKILL; run it again" in error
    assert not any(is_alive(ranks[rank]) for rank in "01")
    assert not (project / MODEL / "run.json").exists()


def test_fine_tuning_goes_on_where_it_was_interrupted(alone: Path, project: Path) -> None:
    messages, arguments = project / "messages", ("stage", "fine-tune", "--method", "co-tuning")
    shutil.rmtree(project / MODEL)
    call = Started(cot, project, messages, arguments, None, True)
    call.says()
    os.kill(call.process.pid, signal.SIGINT)
    assert call.end() == 130
    assert messages.read_text() == "Interrupted; run it again to go on.\n"
    assert not (project / MODEL / "model.safetensors").exists()
    (checkpoint,) = (project / ".work/fine-tune/co-tuning").iterdir()

    assert Started(cot, project, messages, arguments).end() == 0
    model, expected = (root / MODEL / "model.safetensors" for root in (project, alone))
    assert model.read_bytes() == expected.read_bytes()
    assert not checkpoint.exists()
