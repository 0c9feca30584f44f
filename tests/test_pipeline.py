"""The pipeline as a user runs it: dvc and cot in processes of their own, on a folder of images."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from sharing import Started
from small_project import (
    COLOURS,
    SHOW,
    SMALL,
    call,
    changed_stages,
    clean,
    clone,
    copy_project,
    draw_photos,
    executed,
    push,
    queue_experiment,
    write_params,
)
from work import cot

MODULE = "pipeline/report/metrics.py"
MODEL = "data/fine-tune/co-tuning/seed-0/model.safetensors"

pytestmark = pytest.mark.slow


def start(project, *arguments):
    """Call the command; what it prints is then in the file `messages`."""
    return Started(cot, project, project / "messages", arguments)


@pytest.fixture
def edited(finished):
    """The project, with its params and modules put back after the test."""
    kept = {path: path.read_text() for path in (finished / "params.yaml", finished / MODULE)}
    yield finished
    for path, text in kept.items():
        path.write_text(text)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, empty_database):
    """A copy of the project in which `dvc repro` has run once."""
    project = tmp_path_factory.mktemp("pipeline") / "project"
    copy_project(project)
    shutil.copy(empty_database, project / "mlflow.db")
    draw_photos(project / "photos")
    write_params(project, SMALL)
    call(project, "git", "init", "-q")
    result = call(project, "dvc", "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    return project


def test_every_stage_leaves_its_artifacts(finished):
    data = finished / "data"
    for name in (
        *("prepare-data/images.npy", "extract-logits/logits/seed-0.safetensors"),
        *("calibrate/seed-0/calibration.json", "tune/best.json"),
        *("fit-relationship/seed-0/relationship.safetensors", "report/report.md"),
        *(f"fine-tune/{method}/seed-0/model.safetensors" for method in ("vanilla", "co-tuning")),
    ):
        assert (data / name).exists()
    metrics = json.loads((data / "evaluate/linear-probe/seed-0/metrics.json").read_text())
    assert metrics["accuracy"] == 1, "their colours are no riddle for a probe"
    heads = [
        json.loads((data / "evaluate" / method / "seed-0/source_head.json").read_text())
        for method in ("vanilla", "co-tuning")
    ]
    assert heads[0]["before"] == heads[1]["before"]
    assert all(head["after"]["mean"] != head["before"]["mean"] for head in heads)
    assert all(set(head["after"]["by_class"]) == set(COLOURS) for head in heads)
    report = (data / "report/report.md").read_text()
    assert "night sky" in report
    assert "## Seeing why" in report


def test_a_second_run_has_nothing_to_do(finished):
    result = call(finished, "dvc", "repro")
    assert "up to date" in result.stdout
    assert executed(result.stdout) == set()


@pytest.mark.parametrize(
    ("section", "change", "stage"),
    [
        ("fine_tune", {"peers": {"bss": {"strength": 0.1}}}, "fine-tune"),
        ("evaluate", {"batch_size": 17}, "evaluate"),
        ("tune", {"folds": 3}, "tune"),
        ("fit_relationship", {"top_categories": 4}, "fit-relationship"),
        ("calibrate", {"method": "fixed"}, "calibrate"),
    ],
)
def test_a_changed_param_changes_its_stage_alone(edited, section, change, stage):
    write_params(edited, {section: change})
    assert changed_stages(edited) == {stage}


def test_a_touched_module_changes_the_stages_that_import_it(edited):
    (edited / MODULE).write_text((edited / MODULE).read_text() + "\n")
    assert changed_stages(edited) == {"evaluate", "report"}


def test_a_new_learning_rate_is_searched_with_and_trained_with_and_nothing_else_runs(
    finished, tmp_path
):
    project = shutil.copytree(finished, tmp_path / "project", symlinks=True)
    write_params(project, {"fine_tune": {"learning_rate": 0.002}})
    assert changed_stages(project) == {"tune", "fine-tune"}
    result = call(project, "dvc", "repro", "evaluate@vanilla-0")
    assert result.returncode == 0, result.stderr
    assert executed(result.stdout) == {"tune", "fit-relationship", "fine-tune", "evaluate"}


def test_one_more_seed_trains_nothing_again(finished, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(finished, project, symlinks=True)
    write_params(project, {"fine_tune": {"seeds": [0, 1]}})
    result = call(project, "dvc", "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    ran = re.findall(r"Running stage '([\w@-]+)'", result.stdout)
    assert not [name for name in ran if re.search(r"@.*\b0$|^tune$", name)]
    assert {"calibrate@1", "fit-relationship@1", "fine-tune@co-tuning-1"} < set(ran)
    samples = [
        pd.read_csv(project / f"data/prepare-data/manifests/seed-{seed}.csv") for seed in (0, 1)
    ]
    drawn = [set(sample.loc[sample["split"] == "train", "path"]) for sample in samples]
    assert drawn[0] != drawn[1]
    report = (project / "data/report/report.md").read_text()
    assert "| Method | Seed 0 | Seed 1 | Mean |" in report


@pytest.fixture(scope="module")
def pushed(finished, tmp_path_factory):
    """A copy of the finished project, committed and pushed to a folder."""
    folder = tmp_path_factory.mktemp("pushed")
    project = Path(shutil.copytree(finished, folder / "project", symlinks=True))
    push(project, str(folder / "store"))
    return project


@pytest.fixture(scope="module")
def pulled(pushed, tmp_path_factory):
    project = clone(pushed, tmp_path_factory.mktemp("pulled") / "project")
    clean(project, "dvc", "pull")
    return project


def test_a_clone_pulls_what_was_pushed_and_runs_nothing(pushed, pulled, tmp_path):
    second = clone(pushed, tmp_path / "second")
    assert executed(clean(second, "dvc", "repro", "--pull")) == set()
    for project in (pulled, second):
        assert (project / MODEL).read_bytes() == (pushed / MODEL).read_bytes()
        assert "up to date" in clean(project, "dvc", "status")


@pytest.mark.processes
def test_a_clone_pulls_from_a_bucket_what_was_pushed(pushed, tmp_path, bucket):
    url, endpoint = bucket
    origin = clone(pushed, tmp_path / "origin")
    clean(origin, "dvc", "pull")
    push(origin, url, "endpointurl", endpoint)
    project = clone(origin, tmp_path / "project")
    clean(project, "dvc", "pull")
    assert (project / MODEL).read_bytes() == (pushed / MODEL).read_bytes()


def test_a_queued_experiment_is_shown_compared_drawn_and_tracked(pulled):
    queue_experiment(pulled, "wider", "report.bootstrap_resamples=200")
    table = clean(pulled, *SHOW)
    assert all(name in table for name in ("wider", "vanilla", "co-tuning", "gain.low", "gain.high"))
    assert "report.bootstrap_resamples" in table
    assert "…" not in table
    assert "gain" in clean(pulled, "dvc", "exp", "diff", "HEAD", "wider")
    plots = json.loads(clean(pulled, "dvc", "plots", "diff", "--json", "HEAD", "wider"))["data"]
    for name in ("validation accuracy", "reliability", "confusions of co-tuning"):
        assert [one["revisions"] for one in plots[name]] == [["HEAD", "wider"]]
    client = MlflowClient(f"sqlite:///{pulled / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("co-tuning").experiment_id
    [run] = client.search_runs([experiment], "tags.stage != ''")
    assert run.info.run_name == "report"
    assert call(pulled, "dvc", "gc", "--workspace", "--force").returncode == 0
    assert clean(pulled, "git", "status", "--porcelain") == ""


def test_the_comment_on_a_pull_request_compares_and_shows_pictures(pulled):
    comment = clean(pulled, ".ci/comment", "HEAD")
    assert "| data/report/accuracy.json | vanilla " in comment
    pictures = re.findall(r"\]\((.*?\.png)\)", comment)
    assert pictures
    assert all((pulled / "data/report" / name).exists() for name in pictures)


def test_runs_hold_together_lead_back_to_the_data_and_can_be_compared(finished):
    client = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}")
    last = json.loads((finished / "data/report/run.json").read_text())["run_id"]
    assert client.get_run(last).data.tags["stage"] == "report"
    experiment = client.get_experiment_by_name("co-tuning").experiment_id
    parents = client.search_runs([experiment], "tags.pipeline != ''")
    assert "vanilla accuracy" in parents[0].data.metrics
    assert parents[0].data.tags["mlflow.note.content"].startswith("# Did Co-Tuning help?")
    assert start(finished, "lineage", "data/evaluate/co-tuning/seed-0/metrics.json").end() == 0
    text = (finished / "messages").read_text()
    assert all(f"cot stage {stage}" in text for stage in ("evaluate", "fine-tune", "prepare-data"))
    assert start(finished, "compare", "evaluate@vanilla-0", "evaluate@co-tuning-0").end() == 0
    assert "points of accuracy to the first" in (finished / "messages").read_text()


def test_tuning_starts_with_vanilla_and_the_default(finished):
    trials = pd.read_csv(finished / "data/tune/trials.csv")
    assert trials["source_weight"].tolist() == [0.0, 2.3]


def test_the_same_stage_gives_the_same_bytes(finished):
    kept = {}
    for stage, name in (
        ("extract-logits", "logits/seed-0.safetensors"),
        ("calibrate", "seed-0/calibration.json"),
        ("fit-relationship", "seed-0/relationship.safetensors"),
    ):
        path = finished / "data" / stage / name
        kept[path] = path.read_bytes()
        path.unlink()
        assert start(finished, "stage", stage).end() == 0
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_passing_values_through_needs_no_trial(finished):
    path = finished / "data/tune/best.json"
    kept = path.read_text()
    assert start(finished, "stage", "tune", "--set", "tune.trials=0").end() == 0
    best = json.loads(path.read_text())
    assert (best["source_weight"], best["trials"]) == (2.3, 0)
    path.write_text(kept)


def test_the_number_of_crops_reaches_the_metrics(finished):
    path = finished / "data/evaluate/vanilla/seed-0/metrics.json"
    ten = path.read_text()
    arguments = ("stage", "evaluate", "--method", "vanilla", "--set", "evaluate.crops=1")
    assert start(finished, *arguments).end() == 0
    assert json.loads(path.read_text())["nll"] != json.loads(ten)["nll"]
