"""A folder that becomes a DVC project of its own, in a checkout with or without git."""

import subprocess
from contextlib import chdir
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.common.errors import UserError
from pipeline.common.project import main_root, tracking_root
from pipeline.params import load
from pipeline.subproject import MAIN_EXPERIMENT, check_place, make_project, moved_paths
from pipeline.tracking.store import EXPERIMENT, experiment_name

PARAMS = "source_model: {weights: mine/w.safetensors} # mine\nprepare_data: {root: photos}\n"
STAGES = """stages:
  a:
    cmd: echo x > data/out
    deps: [pipeline/room, "${prepare_data.root}"]
    outs: [data/out]
"""


@pytest.fixture(params=["git", "no git"])
def checkout(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch) -> Path:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    if request.param == "git":
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
    Repo.init(str(tmp_path), no_scm=request.param != "git").close()
    for name in ("pipeline/room/__pycache__", "stages", "photos", "mine", "data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "pipeline/room/code.py").write_text("1")
    (tmp_path / "pipeline/room/__pycache__/code.pyc").write_text("1")
    (tmp_path / "mine/w.safetensors").write_text("x")
    (tmp_path / "photos/a.png").write_text("x")
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / ".dvcignore").write_text("__pycache__/\n")
    return tmp_path


def made(checkout: Path, name: str) -> Path:
    folder = checkout / "projects" / name
    check_place(folder, checkout)
    assert make_project(folder, checkout)
    text = (folder / "params.yaml").read_text().replace("root: photos", "root: ../../photos")
    (folder / "params.yaml").write_text(text)
    (folder / "data").mkdir()
    return folder


def repro(folder: Path) -> list[str]:
    """The stages that ran."""
    with chdir(folder), Repo() as repository:
        return [stage.name for stage in repository.reproduce()]


def changed(folder: Path) -> set[str]:
    with chdir(folder), Repo() as repository:
        return set(repository.status())


def test_stages_are_stale_by_code_and_images_and_not_by_compiled_modules(checkout: Path) -> None:
    folder = made(checkout, "birds")
    assert repro(folder) == ["a"]
    (checkout / "pipeline/room/__pycache__/code.pyc").write_text("2")
    assert changed(folder) == set()
    (checkout / "pipeline/room/code.py").write_text("2")
    assert changed(folder) == {"a"}
    repro(folder)
    (checkout / "photos/b.png").write_text("x")
    assert changed(folder) == {"a"}


def test_what_one_project_collects_or_checks_out_leaves_the_others_alone(checkout: Path) -> None:
    birds, fish = made(checkout, "birds"), made(checkout, "fish")
    for folder in (checkout, birds, fish):
        repro(folder)
    (birds / "data/out").unlink()
    (birds / "dvc.lock").unlink()
    for folder in (checkout, birds):
        with Repo(str(folder)) as repository:
            repository.gc(workspace=True, force=True)
    for folder in (checkout, fish):
        (folder / "data/out").unlink()
        with Repo(str(folder)) as repository:
            repository.checkout()
        assert (folder / "data/out").exists()
        assert changed(folder) == set()
    assert not (birds / "data/out").exists()


def test_runs_go_to_the_main_database_as_an_experiment_of_the_folder(checkout: Path) -> None:
    folder = made(checkout, "birds")
    assert tracking_root(folder) == main_root(folder) == checkout
    assert (experiment_name(folder), experiment_name(checkout)) == ("birds", EXPERIMENT)
    assert MAIN_EXPERIMENT == EXPERIMENT


def test_paths_of_params_lead_where_they_did_and_comments_stay(checkout: Path) -> None:
    folder = made(checkout, "birds")
    weights = load(folder / "params.yaml").source_model.weights
    assert (folder / weights).resolve() == checkout / "mine/w.safetensors"
    assert "# mine" in (folder / "params.yaml").read_text()
    values = {"source_model.weights=published", f"prepare_data.source_validation={checkout}"}
    assert moved_paths(load(checkout / "params.yaml", list(values)), folder, checkout) == {}


def test_made_again_it_keeps_its_params_and_takes_the_newest_stages(checkout: Path) -> None:
    folder = made(checkout, "birds")
    kept = (folder / "params.yaml").read_text()
    (checkout / "dvc.yaml").write_text(STAGES.replace("a:", "z:"))
    check_place(folder, checkout)
    assert not make_project(folder, checkout)
    assert (folder / "params.yaml").read_text() == kept
    assert repro(folder) == ["z"]


def test_places_that_would_do_harm_are_refused(checkout: Path, tmp_path: Path) -> None:
    made(checkout, "birds")
    (checkout / "other/birds").mkdir(parents=True)
    for place, words in (
        (checkout, "expected a folder below"),
        (checkout.parent / "x", "expected a folder below"),
        (checkout / "photos", "new or empty"),
        (checkout / "params.yaml", "new or empty"),
        (checkout / "other/birds", "has that name"),
        (checkout / "projects" / EXPERIMENT, "choose another"),
    ):
        with pytest.raises(UserError, match=words):
            check_place(place, checkout)
