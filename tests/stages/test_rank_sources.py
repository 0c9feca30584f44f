"""Source models ranked on prepared images: scores, order, cache, runs, and params.yaml."""

import logging
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from layouts import draw
from mlflow import MlflowClient
from safetensors.torch import save_file

from pipeline.common.errors import UserError
from pipeline.common.project import tracking_root
from pipeline.params import Params, load
from pipeline.sources.ranking import Candidate, read_candidates
from stages import prepare_data, rank_sources

PARAMS = """
source_model: # kept
  name: resnet18 # mine
  input_size: 32
prepare_data: {source: image-folder, root: photos, stored_size: 32, images_per_class: null,
  test_fraction: 0, val_fraction: 0.25}
"""


def saved(name: str, folder: Path) -> str:
    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    save_file(dict(timm.create_model(name).state_dict()), path)
    return f"timm:{name}={path}"


@pytest.fixture
def params(project: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    for index in range(24):
        draw(project / "photos" / "abc"[index % 3] / f"{index}.jpg", index % 3)
    (project / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(project)
    params = load(project / "params.yaml")
    prepare_data.run(params)
    return params


def ranking_of(project: Path) -> pd.DataFrame:
    return pd.read_csv(project / "data" / "rank-sources" / "ranking.csv")


def test_models_are_scored_once_and_the_best_comes_first(project: Path, params: Params) -> None:
    models = ["efficientnet-lite0", saved("test_resnet", project), saved("test_vit", project)]
    rank_sources.run(params, models, None, write=False)
    ranking = ranking_of(project)
    assert set(ranking["name"]) == {"efficientnet-lite0", "timm:test_resnet", "timm:test_vit"}
    assert ranking["linear_probe_accuracy"].is_monotonic_decreasing
    best = ranking.set_index("name").loc["efficientnet-lite0"]
    assert (best["input_size"], best["categories"]) == (32, 1000)
    assert best["parameters"] == pytest.approx(4.65, abs=0.01)
    assert ranking.notna().all().all()
    assert (project / "data" / "rank-sources" / "ranking.png").exists()

    client = MlflowClient(f"sqlite:///{tracking_root(project) / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("co-tuning").experiment_id
    runs = client.search_runs([experiment])
    named = {run.info.run_name: run for run in runs}
    assert named["efficientnet-lite0"].data.metrics["logme"] == pytest.approx(best["logme"])
    assert "mlflow.parentRunId" in named["efficientnet-lite0"].data.tags

    works = {path: path.stat().st_mtime_ns for path in (project / ".work").rglob("*.json")}
    assert len(works) == 3
    rank_sources.run(params, models[::-1], None, write=False)
    assert {path: path.stat().st_mtime_ns for path in works} == works
    assert len(client.search_runs([experiment])) == len(runs)
    pd.testing.assert_frame_equal(ranking_of(project), ranking)


def test_other_weights_in_the_same_file_are_scored_anew(project: Path, params: Params) -> None:
    model = saved("test_resnet", project)
    rank_sources.run(params, [model], None, write=False)
    before = ranking_of(project)
    state = timm.create_model("test_resnet").state_dict()
    save_file({name: value + 0.01 for name, value in state.items()}, model.split("=")[1])
    rank_sources.run(params, [model], None, write=False)
    assert ranking_of(project)["logme"][0] != before["logme"][0]


def test_what_cannot_be_loaded_is_left_out_in_one_line(
    project: Path, params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        rank_sources.run(params, ["nonsense", saved("test_resnet", project)], None, write=False)
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("nonsense is left out: source_model.name")
    assert len(ranking_of(project)) == 1
    with pytest.raises(UserError, match="no source model is left to rank"):
        rank_sources.run(params, ["nonsense"], None, write=False)


def test_a_model_for_larger_images_than_are_stored_is_left_out(
    params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    auto = params.source_model.model_copy(update={"input_size": "auto"})
    with pytest.raises(UserError, match="no source model is left"):
        rank_sources.run(
            params.model_copy(update={"source_model": auto}), ["resnet18"], None, write=False
        )
    assert "it is published for 224 px, and the stored images have 32" in caplog.text


@pytest.mark.processes
def test_the_command_reads_a_file_and_writes_the_winner(project: Path, params: Params) -> None:
    model = saved("test_resnet", project)
    (project / "models.txt").write_text(f"# mine\n\n{model}\n")
    command = ["cot", "rank-sources", "--from", "models.txt"]
    result = subprocess.run([*command, "--write"], cwd=project, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "timm:test_resnet" in "".join(result.stdout.split())
    written = load(project / "params.yaml").source_model
    assert f"{written.name}={written.weights}" == model
    assert "source_model: # kept" in (project / "params.yaml").read_text()


def test_a_file_of_models_has_comments_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "models.txt").write_text("# a\nresnet18\n\n timm:x=w.pth \n")
    expected = [Candidate("resnet18"), Candidate("timm:x", "w.pth")]
    assert read_candidates(tmp_path / "models.txt") == expected
    with pytest.raises(UserError, match=r"--from .*none.txt is no file"):
        read_candidates(tmp_path / "none.txt")
