import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from stages.cli import app

STAGES = (
    *("prepare-data", "extract-logits", "calibrate", "tune"),
    *("fit-relationship", "fine-tune", "evaluate", "report"),
)
NEEDS_METHOD = {"fine-tune", "evaluate"}


@pytest.fixture
def cot(project):
    """Call the command in an empty project."""
    (project / "dvc.yaml").write_text("")
    (project / "params.yaml").write_text("seed: 0\n")

    def call(*arguments):
        return subprocess.run(["cot", *arguments], cwd=project, capture_output=True, text=True)

    return call


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from typer.testing import CliRunner; from stages.cli import app;"
        "result = CliRunner().invoke(app, ['stage', '--help']); assert result.exit_code == 0;"
        "heavy = {'mlflow', 'torch', 'dvc', 'optuna', 'pandas', 'numpy'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_help_lists_every_stage(cot):
    text = cot("stage", "--help").stdout
    assert all(stage in text for stage in STAGES)


@pytest.mark.parametrize("stage", ["tune", "tune-methods", "fine-tune-cells"])
def test_help_names_the_variable_of_the_storage_and_not_its_value(cot_here, monkeypatch, stage):
    monkeypatch.setenv("COT_STORAGE", "mysql://user:hunter2@host/name")
    text = cot_here("stage", stage, "--help").stdout
    assert "--storage" in text
    assert "COT_STORAGE" in text
    assert "hunter2" not in text


@pytest.fixture
def cot_here(project, monkeypatch):
    """As `cot`, in this process: importing what the stages need takes seconds each time."""
    (project / "dvc.yaml").write_text("")
    (project / "params.yaml").write_text("seed: 0\n")
    monkeypatch.chdir(project)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    handler = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: CliRunner().invoke(app, arguments)
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_missing_artifact_names_the_stage_that_makes_it(cot_here, stage):
    method = ["--method", "vanilla"] if stage in NEEDS_METHOD else []
    result = cot_here("stage", stage, *method)
    assert result.exit_code == 1
    assert "is missing; make it with `cot stage" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("calibrate.metod=fixed", "did you mean calibrate.method?"),
        ("calibrate.temperature=hot", "calibrate.temperature: got 'hot'"),
        ("calibrate.temperature", "expected section.name=value"),
    ],
)
def test_a_wrong_override_is_one_line_and_exit_code_1(cot, override, message):
    result = cot("stage", "calibrate", "--set", override)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("method", "meant"),
    [
        ("co-tunning", "co-tuning"),
        ("linear-prob", "linear-probe"),
        ("linear-probe+bss", "linear-probe"),
    ],
)
def test_an_unknown_method_is_refused(cot, method, meant):
    result = cot("stage", "fine-tune", "--method", method)
    assert result.returncode == 1
    assert f"did you mean {meant}?" in result.stderr


def test_an_artifact_that_is_not_there_has_no_lineage(cot, project):
    result = cot("lineage", str(project / "data/none.json"))
    assert result.returncode == 1
    assert "does not exist" in result.stderr


def test_usage_errors_exit_with_2(cot):
    assert cot("stage", "no-such-stage").returncode == 2
