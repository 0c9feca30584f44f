"""Masked language models ranked on prepared sentences: order, cache, runs, and params.yaml."""

import logging
from pathlib import Path

import pandas as pd
import pytest
import torch
import typer
from mlflow import MlflowClient
from tiny_language import (
    FIRMS,
    NAMES,
    PIECES,
    PLACES,
    VOCABULARY,
    make_model,
    make_tokenizer,
    save_model,
    write_conll,
)

from pipeline import params
from pipeline.common.project import tracking_root
from stages.running import run_stage

PARAMS = """
source_model: # kept
  name: "{name}" # mine
  longest: 9
prepare_data: {{source: conll, root: text}}
"""
OF_TYPES = (PLACES, (*NAMES, "Smith"), (*FIRMS[:2], PIECES[0], "Corp"))


def save_knowing_model(folder: Path) -> str:
    """One that embeds the words of each type in a direction of its own."""
    model = make_model(everywhere=False)
    embedded = model.bert.embeddings.word_embeddings.weight.data
    embedded.mul_(0.1)
    for direction, words in enumerate(OF_TYPES):
        embedded[[VOCABULARY.index(word) for word in words], direction] += 5
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A project in which a model of random weights and one that knows the types were ranked."""
    root = tmp_path_factory.mktemp("ranked")
    (root / "mlflow.db").write_bytes(empty_database.read_bytes())
    name = save_model(root / "random")
    save_knowing_model(root / "knowing")
    write_conll(root / "text", {"train.txt": 60, "valid.txt": 16, "test.txt": 30})
    (root / "params.yaml").write_text(PARAMS.format(name=name))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run_stage("prepare_data", None, None)
        rank(f"hf:{root / 'random'}", f"hf:{root / 'knowing'}")
    return root


@pytest.fixture
def at(ranked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ranked)
    return ranked


def rank(*models: str, listed: Path | None = None, write: bool = False) -> pd.DataFrame:
    run_stage("rank_sources", None, None, models=models, listed=listed, write=write)
    return pd.read_csv("data/rank-sources/ranking.csv")


def test_a_model_whose_states_carry_the_types_comes_first(
    at: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranking = rank(f"hf:{at / 'random'}", f"hf:{at / 'knowing'}")
    assert ranking["name"].tolist() == [f"hf:{at / 'knowing'}", f"hf:{at / 'random'}"]
    best, other = ranking.iloc[0], ranking.iloc[1]
    for score in ("linear_probe_accuracy", "logme", "leep", "nce", "h_score"):
        assert best[score] > other[score]
    assert best["linear_probe_nll"] < other["linear_probe_nll"]
    assert best["categories"] == len(VOCABULARY)
    model = make_model()
    assert best["parameters"] * 1e6 == sum(one.numel() for one in model.parameters())
    shown = capsys.readouterr().out
    assert "words/s" in shown
    assert "100.0%" in shown
    assert (at / "data/rank-sources/ranking.png").exists()


def test_what_was_scored_is_not_scored_again(at: Path) -> None:
    client = MlflowClient(f"sqlite:///{tracking_root(at) / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("co-tuning").experiment_id
    names = [f"hf:{at / 'knowing'}", f"hf:{at / 'random'}"]
    before = rank(*names)
    runs = client.search_runs([experiment])
    best = next(run for run in runs if run.info.run_name == names[0])
    assert best.data.metrics["logme"] == pytest.approx(before["logme"][0])
    assert "mlflow.parentRunId" in best.data.tags
    works = {path: path.stat().st_mtime_ns for path in (at / ".work/rank-sources").glob("*.json")}
    assert len(works) == 2
    pd.testing.assert_frame_equal(rank(*names), before)
    assert {path: path.stat().st_mtime_ns for path in works} == works
    assert len(client.search_runs([experiment])) == len(runs)


def test_other_weights_in_the_same_folder_are_scored_anew(at: Path, tmp_path: Path) -> None:
    name = save_model(tmp_path / "changing")
    before = rank(name)
    model = make_model()
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.mul_(0.5)
    model.save_pretrained(tmp_path / "changing")
    assert rank(name)["logme"][0] != before["logme"][0]


@pytest.mark.usefixtures("no_network")
def test_of_the_short_list_what_cannot_be_fetched_is_left_out_in_a_line_each(
    at: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ranking = rank()
    assert ranking["name"].tolist() == [f"hf:{at / 'random'}"]
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert "hf:bert-base-cased is left out: source_model: hf:bert-base-cased" in told[0]
    assert len(told) == 4
    assert not [line for line in told if "\n" in line]


def test_the_best_one_is_written_into_params(at: Path) -> None:
    (at / "models.txt").write_text(f"# mine\nhf:{at / 'random'}\n\nhf:{at / 'knowing'}\n")
    before = (at / "params.yaml").read_text()
    rank(listed=Path("models.txt"), write=True)
    text, values = (at / "params.yaml").read_text(), params.load_project(at / "params.yaml")
    (at / "params.yaml").write_text(before)
    assert values.source_model.name == f"hf:{at / 'knowing'}"
    assert "source_model: # kept" in text
    assert "# mine" in text


@pytest.mark.parametrize("model", ["hf:some/model=weights.safetensors", "bert-base-cased", "hf:"])
def test_what_no_masked_language_model_is_named_by_is_refused(
    at: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        rank(f"hf:{at / 'random'}", model)
    said = capsys.readouterr().err
    assert f"got {model}; name a masked language model as hf:<name or folder>" in said
    assert len(said.strip().splitlines()) == 1


def test_a_model_for_shorter_parts_is_left_out(at: Path, caplog: pytest.LogCaptureFixture) -> None:
    overrides = ["source_model.longest=40"]
    with pytest.raises(typer.Exit):
        run_stage("rank_sources", overrides, None, models=[f"hf:{at / 'random'}"], listed=None,
                  write=False)  # fmt: skip
    assert "this model takes 32 at most" in caplog.text
