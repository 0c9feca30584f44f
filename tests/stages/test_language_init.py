"""cot init on files of tokens and tags."""

import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo
from tiny_language import write_conll

from pipeline import params
from pipeline.common.errors import UserError
from pipeline.language.readers.recognition import is_text
from stages.language.init import run

ROOT = Path(__file__).parents[2]
TEMPLATE = Path("pipeline/language/project-files")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    Repo.init(str(tmp_path), no_scm=True).close()
    shutil.copytree(ROOT / TEMPLATE, tmp_path / TEMPLATE)
    (tmp_path / "stages").mkdir()
    (tmp_path / ".dvcignore").write_text("__pycache__/\n")
    (tmp_path / "params.yaml").write_text("seed: 3\n")
    write_conll(tmp_path / "raw", {"train.txt": 20, "test.txt": 5})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_project_of_text_has_stages_of_its_own(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_text(checkout / "raw")
    folder = checkout / "projects/ner"
    run(Path("raw"), folder, dry_run=False)
    assert "train" in capsys.readouterr().out
    values = params.load_project(folder / "params.yaml")
    assert isinstance(values, params.LanguageParams)
    data = values.prepare_data
    assert (data.source, data.scheme, data.root) == ("conll", "iob2", "../../raw")
    text = (checkout / TEMPLATE / "stages.yaml").read_text()
    assert (folder / "dvc.yaml").read_text().endswith(text)
    names = {one.addressing.rpartition(":")[2] for one in Repo(str(folder)).index.stages}
    assert {"prepare-data", "fine-tune@vanilla-0", "fine-tune@co-tuning-0", "report"} <= names
    assert (folder / "pipeline").resolve() == checkout / "pipeline"


def test_a_dry_run_writes_nothing_and_a_place_is_asked_for(checkout: Path) -> None:
    run(Path("raw"), checkout / "projects/ner", dry_run=True)
    assert not (checkout / "projects").exists()
    with pytest.raises(UserError, match=r"raw is text, .* as --as projects/raw"):
        run(Path("raw"), None, dry_run=False)


def test_outside_of_a_checkout_it_says_so_and_leaves_nothing(checkout: Path) -> None:
    shutil.rmtree(checkout / "pipeline")
    with pytest.raises(UserError, match="is no checkout of the project; run this inside one"):
        run(Path("raw"), checkout / "projects/ner", dry_run=False)
    assert not (checkout / "projects").exists()
