"""What makes a damaged artifact again, and how a change of its content is noticed."""

import json
from pathlib import Path

import pytest

from pipeline.common.damage import damaged, reading, remedy, require_unchanged
from pipeline.common.errors import UserError


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("prepare-data/manifests/seed-3.csv", "prepare-data"),
        ("extract-logits/logits/seed-3.safetensors", "extract-logits"),
        ("tune/best.json", "tune"),
        ("calibrate/seed-3/calibration.json", "calibrate@3"),
        ("fine-tune/co-tuning+bss/seed-3/model.safetensors", "fine-tune@co-tuning+bss-3"),
        ("evaluate/vanilla/seed-0/metrics.json", "evaluate@vanilla-0"),
    ],
)
def test_the_stage_is_named_as_dvc_names_it(path: str, target: str, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    command = f"`dvc repro --force --single-item {target}`"
    assert remedy(tmp_path, tmp_path / "data" / path) == command


def test_a_study_is_made_again_beside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    study = tmp_path / "photographs"
    study.mkdir()
    found = remedy(study, study / "data/prepare-data/manifests/seed-0.csv")
    assert found == f"`dvc repro --force --single-item prepare-data@photographs` in {tmp_path}"


def test_whatever_goes_wrong_is_one_line_of_bounded_length(tmp_path: Path) -> None:
    path = tmp_path / "data/tune/best.json"
    with pytest.raises(UserError) as caught, reading(tmp_path, path):
        raise RuntimeError("much\nis wrong " * 1000)
    assert str(caught.value).startswith("data/tune/best.json is damaged: much is wrong much is")
    assert len(str(caught.value)) < 350
    with pytest.raises(UserError, match="as it is"), reading(tmp_path, path):
        raise UserError("as it is")
    assert "it has no a" in str(damaged(tmp_path, path, "it has no a"))


def test_a_stage_notices_what_was_changed_since_another_wrote_it(stage, project) -> None:
    stage("calibrate")
    written = project / "data/calibrate/out.txt"
    left = json.loads((project / "data/calibrate/run.json").read_text())
    assert set(left["files"]) == {"out.txt"}
    stage("tune", [written])
    written.write_text("y")
    with pytest.raises(UserError) as caught:
        stage("tune", [written])
    assert str(caught.value) == (
        "data/calibrate/out.txt is damaged: its content is not what its stage wrote; make it again "
        "with `dvc repro --force --single-item calibrate`"
    )
    (project / "data/calibrate/run.json").unlink()
    stage("tune", [written])
    require_unchanged(project, project / "elsewhere.txt")
