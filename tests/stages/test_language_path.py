"""A masked language model and files of CoNLL's columns, from the data to the report."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import typer
from safetensors.torch import load_file
from tiny_language import save_model, write_conll

from pipeline import params
from pipeline.common.errors import UserError
from stages.running import run_stage

PARAMS = """
source_model: {{name: "{name}", longest: 16}}
prepare_data: {{source: conll, root: text}}
extract_logits: {{observed: {observed}, calibration_words: 40}}
fit_relationship: {{top_categories: 3}}
tune: {{trials: 2, folds: 2}}
fine_tune:
  {{seeds: [0, 1], methods: [vanilla, co-tuning], epochs: 8, batch_size: 8, learning_rate: 0.01,
    optimizer: adamw, schedule: linear, warmup: 0.1, max_gradient_norm: 1.0,
    target_head_factor: 1.0}}
evaluate: {{bootstrap_resamples: 100}}
report: {{bootstrap_resamples: 100}}
"""
COUNTS = {"train.txt": 60, "valid.txt": 16, "test.txt": 30}


@pytest.fixture
def project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    name = save_model(project / "model", everywhere=False)
    write_conll(project / "text", COUNTS)
    (project / "params.yaml").write_text(PARAMS.format(name=name, observed="masked"))
    return project


def run_all(methods: list[str]) -> None:
    for stage in ("prepare_data", "extract_logits"):
        run_stage(stage, None, None)
    for seed in (0, 1):
        run_stage("calibrate", None, None, seed=seed)
    run_stage("tune", None, None, workers=None, storage=None)
    for seed in (0, 1):
        run_stage("fit_relationship", None, None, seed=seed)
        for method in methods:
            run_stage("fine_tune", None, None, method=method, seed=seed)
            run_stage("evaluate", None, None, method=method, seed=seed)
    run_stage("report", None, None)


def test_the_whole_path_from_text_to_the_report(project: Path) -> None:
    run_all(["vanilla", "co-tuning"])
    data = project / "data"
    trials = pd.read_csv(data / "tune/trials.csv")
    assert trials["source_weight"].tolist() == [0.0, 0.7]
    assert trials["state"].tolist() == ["COMPLETE", "COMPLETE"]
    best = json.loads((data / "tune/best.json").read_text())
    assert best["source_weight"] == 0.7
    assert best["gains"].keys() == {"co-tuning"}  # there is no probe of words
    rows = load_file(data / "fit-relationship/seed-0/relationship.safetensors")["relationship"]
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(3))
    history = pd.read_csv(data / "fine-tune/co-tuning/seed-0/history.csv")
    assert history["source_loss"].iloc[-1] < history["source_loss"].iloc[0]
    found = {
        method: json.loads((data / f"evaluate/{method}/seed-1/metrics.json").read_text())
        for method in ("vanilla", "co-tuning")
    }
    for metrics in found.values():
        low, high = metrics["intervals"]["f1"]
        assert low <= metrics["f1"] <= high
        assert metrics["f1"] > 0.8  # of words that each have one tag
        assert set(metrics["by_type"]) == {"LOC", "ORG", "PER"}
    predictions = pd.read_csv(data / "evaluate/vanilla/seed-0/predictions.csv")
    words = [
        line for line in (project / "text/test.txt").read_text().splitlines() if " NN " in line
    ]
    assert predictions["tag"].tolist() == [line.split()[-1] for line in words]
    report = (data / "report/report.md").read_text()
    for heading in ("Did Co-Tuning help?", "Methods", "Types of entities", "Tuning"):
        assert f"# {heading}" in report
    assert "F1 to vanilla" in report
    assert "Each of the 76 sentences for training and validation was held out in turn" in report
    assert "What the chosen source weight gained over vanilla on these sentences:" in report
    page = (data / "report/report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "<h2>Types of entities</h2>" in page
    with pytest.raises(UserError, match=r"is of text .* for which this command is not made"):
        params.load(project / "params.yaml")


def test_a_stage_goes_on_where_it_was_stopped_and_gives_the_same_weights(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after two epochs, by the callback that would log the third."""
    from pipeline.training import fit as loop

    for stage in ("prepare_data", "extract_logits"):
        run_stage(stage, None, None)
    run_stage("calibrate", None, None, seed=0)
    run_stage("tune", ["tune.trials=0"], None, workers=None, storage=None)
    run_stage("fit_relationship", None, None, seed=0)
    options = {"method": "lwf", "seed": 0}
    shorter = ["fine_tune.epochs=4", "fine_tune.methods=[lwf]"]
    run_stage("fine_tune", shorter, None, **options)
    model = project / "data/fine-tune/lwf/seed-0/model.safetensors"
    whole = load_file(model)
    model.unlink()
    run_epoch = loop.Loop.run_epoch

    def stop(self, epoch, *rest):  # type: ignore[no-untyped-def]
        if epoch == 3:
            raise RuntimeError("stopped")
        return run_epoch(self, epoch, *rest)

    monkeypatch.setattr(loop.Loop, "run_epoch", stop)
    with pytest.raises(RuntimeError, match="stopped"):
        run_stage("fine_tune", shorter, None, **options)
    monkeypatch.setattr(loop.Loop, "run_epoch", run_epoch)
    run_stage("fine_tune", shorter, None, **options)
    again = load_file(model)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_a_command_that_is_not_made_for_text_says_so(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        run_stage("claims", None, None)
    assert "claims is not made for a project of text" in capsys.readouterr().err


def test_what_text_needs_is_named_where_it_is_missing(project: Path) -> None:
    code = (
        "import sys; sys.modules['seqeval'] = None\n"
        "from stages.cli import app\n"
        "app(['stage', 'report'])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert result.returncode == 1
    assert "is not installed; pip install '.[language]'" in result.stderr
    assert "Traceback" not in result.stderr
