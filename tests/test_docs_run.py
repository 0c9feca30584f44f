"""What README and docs/ tell to type is typed, line by line, on a small folder of images."""

import shutil
from pathlib import Path

import pytest
from docs_text import blocks, typed
from small_project import SMALL, call, copy_project, draw_photos, identify, write_params

# In this order, in one project.
RUN = (
    *("README.md", "dvc.md", "export.md", "stages.md", "tracking.md"),
    *("source-models.md", "images.md"),
)
ELSEWHERE = {
    "claims.md": "takes hours; tests/pipeline/claims runs the stages on a tiny pool",
    "data-sets.md": "on data that are fetched by hand; tests/test_overlay_experiments.py",
    "language.md": "tests/stages/test_language_path.py, test_language_at_work.py",
    "paper-tasks.md": "as data-sets.md",
    "relationship.md": "takes hours; as claims.md",
    "reliability.md": "the tests themselves; takes hours",
    "search.md": "takes hours; CI runs the first two",
    "serve.md": "tests/stages/test_serve.py",
    "several.md": "tests/stages/test_several_processes.py",
    "studies.md": "takes hours; as claims.md",
}
# Lines that change this environment, do not end, or are what CI runs.
NOT_HERE = (
    *("pip install ", "export "),
    *("cot serve", "dvc queue start", "mlflow models serve", "echo ", "optuna-dashboard "),
    *("make ", "cd experiments ", "python benchmarks/"),
)
STAND_INS = {"s3://bucket/path": "../store", "--seed 1 ": "--seed 0 "}
LINES = [
    line
    for page in RUN
    for name, text in blocks("console")
    if name == page
    for line in typed(text)
    if not line.startswith(NOT_HERE)
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory, empty_database):
    project = tmp_path_factory.mktemp("docs") / "project"
    copy_project(project)
    shutil.copy(empty_database, project / "mlflow.db")
    for folder in ("photos", "mine"):
        draw_photos(project / folder)
    shutil.copytree(project / "photos" / "brick", project / "new-photos")
    call(project, "git", "init", "-q")
    identify(project)
    return project


def test_every_block_runs_here_or_elsewhere():
    assert {name for name, _ in blocks("console")} == {*RUN, *ELSEWHERE}


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_docs_does_what_it_says(line: str, project: Path):
    for name, stand_in in STAND_INS.items():
        line = line.replace(name, stand_in)
    result = call(project, "bash", "-c", line)
    assert result.returncode == 0, result.stdout + result.stderr
    if line.startswith("cot init "):
        root = {"root": line.split()[2]}
        write_params(project, SMALL | {"prepare_data": SMALL["prepare_data"] | root})
