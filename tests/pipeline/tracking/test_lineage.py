import pytest

from pipeline.common.errors import UserError
from pipeline.tracking.lineage import lineage


def test_the_runs_of_one_pipeline_are_found_from_any_of_its_artifacts(stage, project):
    first = stage("extract-logits", content="logits")
    second = stage("calibrate", [project / "data/extract-logits/out.txt"], content="T")
    third = stage("tune", [project / "data/calibrate/out.txt"], content="best")
    stage("report", content="unrelated")
    expected = [run.info.run_id for run in (first, second, third)]
    for name in ("extract-logits", "calibrate", "tune"):
        runs = lineage(project, project / "data" / name / "out.txt")
        assert [run.info.run_id for run in runs] == expected


def test_the_artifacts_of_a_method_of_joined_parts_are_found_too(stage, project, caplog):
    made = stage("fine-tune/co-tuning+bss", content="weights")
    weights = project / "data/fine-tune/co-tuning+bss/out.txt"
    used = stage("evaluate", [weights], content="metrics")
    for artifact in (weights, project / "data/evaluate/out.txt"):
        found = lineage(project, artifact)
        assert [run.info.run_id for run in found] == [made.info.run_id, used.info.run_id]
    assert "cannot be written" not in caplog.text


def test_an_artifact_that_no_run_wrote_is_said_so(stage, project):
    stage("tune")
    (project / "other.txt").write_text("other")
    with pytest.raises(UserError, match="no MLflow run wrote"):
        lineage(project, project / "other.txt")
