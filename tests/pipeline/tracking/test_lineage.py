import subprocess

import pytest

from pipeline.common.errors import UserError
from pipeline.tracking.lineage import lineage, recorded


def chain(origin):
    """Names of the runs from a file back, where each read one."""
    names = []
    while origin.run:
        names.append(origin.run.info.run_name)
        [origin] = origin.sources or [origin.__class__("", None, ())]
    return names


def test_a_file_leads_back_to_what_it_was_made_of(stage, project):
    stage("extract-logits", content="logits")
    stage("calibrate", [project / "data/extract-logits/out.txt"], content="T")
    stage("tune", [project / "data/calibrate/out.txt"], content="best")
    stage("report", content="unrelated")
    assert chain(lineage(project, project / "data/tune/out.txt")) == [
        *("tune", "calibrate", "extract-logits")
    ]
    assert chain(lineage(project, project / "data/extract-logits/out.txt")) == ["extract-logits"]


def test_data_from_outside_ends_a_branch(stage, project):
    (project / "photos.txt").write_text("photos")
    stage("prepare-data", [project / "photos.txt"], content="images")
    [source] = lineage(project, project / "data/prepare-data/out.txt").sources
    assert (source.path, source.run, source.sources) == ("photos.txt", None, ())


def test_the_latest_run_of_the_same_content_is_named(stage, project):
    stage("tune", content="best")
    latest = stage("tune", content="best")
    found = lineage(project, project / "data/tune/out.txt").run
    assert found.info.run_id == latest.info.run_id


def test_the_artifacts_of_a_method_of_joined_parts_are_found_too(stage, project, caplog):
    stage("fine-tune/co-tuning+bss", content="weights")
    weights = project / "data/fine-tune/co-tuning+bss/out.txt"
    stage("evaluate", [weights], content="metrics")
    assert len(chain(lineage(project, project / "data/evaluate/out.txt"))) == 2
    assert "cannot be written" not in caplog.text


def test_an_artifact_that_no_run_wrote_is_said_so(stage, project):
    stage("tune")
    (project / "other.txt").write_text("other")
    with pytest.raises(UserError, match="no MLflow run wrote"):
        lineage(project, project / "other.txt")


def test_a_file_is_held_against_the_lock_in_a_folder_too(project):
    command = "mkdir -p data/tune && echo a > data/tune/best.json"
    (project / "dvc.yaml").write_text(f"stages: {{tune: {{cmd: {command}, outs: [data/tune]}}}}")
    for arguments in ("init --no-scm --quiet", "repro --quiet"):
        subprocess.run(["dvc", *arguments.split()], cwd=project, check=True)
    path = project / "data/tune/best.json"
    assert recorded(project, path) is True
    path.write_text("b")
    assert recorded(project, path) is False
    assert recorded(project, project / "dvc.yaml") is None
