"""`cot init` and `cot doctor` as somebody with a folder of photos calls them."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML
from small_project import (
    call,
    changed_stages,
    clean,
    copy_project,
    draw_photos,
    executed,
    write_params,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A copy of the project with photos, one of them broken and one twice."""
    project = Path(tmp_path_factory.mktemp("init")) / "project"
    copy_project(project)
    shutil.copy(empty_database, project / "mlflow.db")
    draw_photos(project / "photos")
    (project / "photos/grass/bad.jpg").write_bytes(b"no image")
    shutil.copy(project / "photos/grass/0.png", project / "photos/brick/twin.png")
    call(project, "git", "init", "-q")
    return project


def values(path: Path) -> dict[str, dict[str, object]]:
    return YAML(typ="safe").load(path.read_text())


def test_a_dry_run_shows_all_and_writes_nothing(checkout: Path) -> None:
    before = (checkout / "params.yaml").read_text()
    text = clean(checkout, "env", "COLUMNS=160", "cot", "init", "photos", "--dry-run")
    assert (checkout / "params.yaml").read_text() == before
    for words in (
        *("night sky", "broken", "bad.jpg (not an image of a known format)"),
        *(
            "equal files are in several classes (1)",
            "prepare_data.on_bad_image",
            "Nothing is written",
        ),
    ):
        assert words in text


def test_a_folder_that_does_not_do_is_one_line(checkout: Path) -> None:
    (checkout / "empty").mkdir()
    for place, words in (("nowhere", "nowhere"), ("empty", "empty")):
        result = call(checkout, "cot", "init", place)
        assert result.returncode == 1
        assert words in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_what_is_written_keeps_the_comments_and_is_what_prepare_data_takes(checkout: Path) -> None:
    kept = (checkout / "params.yaml").read_text()
    clean(checkout, "cot", "init", "photos")
    text = (checkout / "params.yaml").read_text()
    found = values(checkout / "params.yaml")
    assert found["prepare_data"]["root"] == "photos"
    assert found["prepare_data"]["on_bad_image"] == "skip"
    assert found["prepare_data"]["images_per_class"] is None
    assert text.count("#") == kept.count("#")
    clean(checkout, "cot", "stage", "prepare-data")
    (checkout / "params.yaml").write_text(kept)


def test_a_second_data_set_is_a_project_of_its_own(checkout: Path) -> None:
    clean(checkout, "cot", "init", "photos", "--as", "projects/other")
    project = checkout / "projects/other"
    assert values(project / "params.yaml")["prepare_data"]["root"] == "../../photos"
    assert values(project / "params.yaml")["prepare_data"]["on_bad_image"] == "skip"
    small = {"source_model": {"input_size": 32}, "prepare_data": {"stored_size": 36}}
    small |= {"tune": {"trials": 0}, "fine_tune": {"seeds": [0], "epochs": 1}}
    small["fine_tune"]["methods"] = ["vanilla", "co-tuning"]
    small |= {stage: {"bootstrap_resamples": 100} for stage in ("evaluate", "report")}
    write_params(project, small)
    result = call(project, "dvc", "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    assert {"prepare-data", "evaluate", "report"} <= executed(result.stdout)
    assert "night sky" in (project / "data/report/report.md").read_text()
    assert changed_stages(project) == set()
    assert not (checkout / "data/report").exists()
    client = MlflowClient(f"sqlite:///{checkout / 'mlflow.db'}")
    assert client.get_experiment_by_name("other") is not None
    assert not (project / "mlflow.db").exists()
    report = call(project, "cot", "doctor").stdout
    assert f"those of {checkout}" in report


def test_doctor_has_a_line_for_everything_and_fails_where_something_must_be_mended(
    checkout: Path,
) -> None:
    kept = (checkout / "params.yaml").read_text()
    (checkout / "params.yaml").write_text(kept.replace("data/raw/photographs", "photos"))
    result = call(checkout, "cot", "doctor")
    lines = result.stdout.splitlines()
    titles = [line.split()[1] for line in lines]
    assert titles == [
        *("Python", "packages", "stages", "params", "device", "images", "disk", "tracking"),
        *("remote", "leftovers", "artifacts"),
    ]
    assert result.returncode == 0, result.stdout
    (checkout / "params.yaml").write_text(kept.replace("data/raw/photographs", "gone"))
    result = call(checkout, "cot", "doctor")
    (checkout / "params.yaml").write_text(kept)
    assert result.returncode == 1
    [line] = [line for line in result.stdout.splitlines() if " images " in line]
    assert line.startswith("✗")
    assert "gone" in line
    assert not result.stderr
