"""Imports run one way, and dvc.yaml names what a stage imports."""

import ast
import importlib
import os
import re
import subprocess
import tomllib
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

from pipeline.language.teaching import TRAINING_CODE as TEXT_TRAINING_CODE
from pipeline.params.sections import Optimization, Training
from pipeline.training.methods import TRAINING_CODE
from pipeline.tuning.search import SEARCH_CODE

ROOT = Path(__file__).parents[1]


def definitions(folder, file="dvc.yaml"):
    return YAML(typ="safe").load((ROOT / folder / file).read_text())["stages"]


TEXT = "pipeline/language/project-files"  # copied into a project, where the code is linked into
# The stages of a study are the same in each; where its images come from differs.
PIPELINES = {
    ".": definitions("."),
    "experiments/claims-photographs": {
        stage: definition["do"]
        for stage, definition in definitions("experiments").items()
        if "do" in definition
    },
    TEXT: definitions(TEXT, "stages.yaml"),
}
STAGES = [(folder, stage) for folder, stages in PIPELINES.items() for stage in stages]


# What decides no number, see the comment in dvc.yaml.
WITHOUT_NUMBERS = (
    *("pipeline.artifacts", "pipeline.common", "pipeline.params", "pipeline.tracking"),
    "pipeline.language.artifacts",
    "pipeline.report.figures",
    "pipeline.report.trials_figure",
)


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("pipeline", "stages", cache_dir=None)


@pytest.fixture(scope="module")
def deciding():
    """The imports between modules that decide numbers."""
    graph = grimp.build_graph("pipeline", "stages", cache_dir=None)
    for name in WITHOUT_NUMBERS:
        for module in {name} | graph.find_descendants(name):
            graph.remove_module(module)
    return graph


def test_import_contracts_are_kept():
    result = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_every_room_has_its_floor(graph):
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    floors = contract["contracts"][0]["layers"]
    named = {room for floor in floors for room in floor.split(" | ")}
    assert graph.find_children("pipeline") <= named
    assert graph.find_children("stages") <= named


def test_the_method_imports_nothing_else_of_the_project(graph):
    method = graph.find_descendants("pipeline.cotuning") | {"pipeline.cotuning"}
    imported = {
        name for module in method for name in graph.find_modules_directly_imported_by(module)
    }
    assert imported <= method


def imported_names(path):
    """Every name that a file imports, as pipeline.room.module.name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def rooms_of(path):
    return [package.as_posix() for package in path.relative_to(ROOT).parents]


def test_a_room_is_entered_through_what_it_exports():
    exported = {
        package.parent.relative_to(ROOT).as_posix(): importlib.import_module(
            ".".join(package.parent.relative_to(ROOT).parts)
        ).__all__
        for package in ROOT.glob("pipeline/*/**/__init__.py")
    }
    files = [
        path
        for folder in ("pipeline", "stages", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    entered = [
        (path, room, name)
        for path in files
        for imported in imported_names(path)
        for room, names in exported.items()
        if room not in rooms_of(path) and imported.startswith(f"{room.replace('/', '.')}.")
        if (name := imported.removeprefix(f"{room.replace('/', '.')}.").partition(".")[0])
        not in names
    ]
    assert not entered


def below_root(folder, path):
    """A path in the dvc.yaml of a folder, as one from the project's root, where links lead."""
    if folder == TEXT:
        return path
    return os.path.relpath((ROOT / folder / path).resolve(), ROOT)


def page(folder, stage):
    """The module of a stage."""
    return f"stages.{'language.' if folder == TEXT else ''}{stage.replace('-', '_')}"


def deciding_code(graph, module):
    """The stage's own file, and of each room the whole or the files, as dvc.yaml says."""
    used = graph.find_upstream_modules(module)
    code = {f"{module.replace('.', '/')}.py"}
    for room in {name.rpartition(".")[0] for name in used}:
        modules = {name for name in graph.find_children(room) if not graph.find_children(name)}
        has_rooms = modules != graph.find_children(room)
        if not has_rooms and len(modules & used) > len(modules) / 2:
            code.add(room.replace(".", "/"))
        else:
            code |= {f"{name.replace('.', '/')}.py" for name in modules & used}
    return code


def listed_code(folder, stage):
    paths = {below_root(folder, name) for name in PIPELINES[folder][stage]["deps"]}
    code = {path for path in paths if path.startswith(("pipeline/", "stages/"))}
    return {path for path in code if path.endswith(".py") or (ROOT / path / "__init__.py").exists()}


@pytest.mark.parametrize(("folder", "stage"), STAGES)
def test_the_code_that_a_stage_depends_on_is_what_decides_its_numbers(deciding, folder, stage):
    assert listed_code(folder, stage) == deciding_code(deciding, page(folder, stage))


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("pipeline/report/text.py", {"report"}),
        ("pipeline/report/metrics.py", {"evaluate", "report"}),
        ("pipeline/training/fit.py", {"tune", "fine-tune", "evaluate"}),
        ("pipeline/datasets/readers/coco_70.py", {"prepare-data"}),
        ("pipeline/search/study.py", {"tune"}),
        ("pipeline/tuning/folds.py", {"tune"}),
        ("pipeline/tracking/runs.py", set()),
        ("pipeline/common/progress.py", set()),
        ("pipeline/params/loading.py", set()),
        (
            "pipeline/sources/efficientnet_lite.py",
            {"prepare-data", "extract-logits", "tune", "fine-tune", "evaluate"},
        ),
    ],
)
def test_a_touched_file_concerns_the_stages_whose_numbers_it_decides(file, stages):
    assert (ROOT / file).exists()
    concerned = {
        stage
        for stage in PIPELINES["."]
        if any(f"{file}/".startswith(f"{path}/") for path in listed_code(".", stage))
    }
    assert concerned == stages


def test_work_is_resumed_under_the_code_that_its_stage_depends_on():
    def files(paths):
        found = [path for path in paths for path in [ROOT / path, *(ROOT / path).glob("**/*.py")]]
        code = [path for path in found if path.suffix == ".py"]
        return {path for path in code if path.relative_to(ROOT).parts[0] != "stages"}

    for code, folder, stage in (
        (TRAINING_CODE, ".", "fine-tune"),
        ((*TRAINING_CODE, *SEARCH_CODE), ".", "tune"),
        (TEXT_TRAINING_CODE, TEXT, "fine-tune"),
    ):
        keyed = {path for pattern in code for path in (ROOT / "pipeline").glob(pattern)}
        assert files(listed_code(folder, stage)) <= keyed


@pytest.mark.parametrize(
    ("folder", "stage", "section"),
    [(".", "tune", Training), (".", "fine-tune", Training), (TEXT, "fine-tune", Optimization)],
)
def test_what_trains_depends_on_every_value_of_the_training(folder, stage, section):
    params = PIPELINES[folder][stage]["params"]
    assert {f"fine_tune.{name}" for name in section.model_fields} <= set(params)


@pytest.mark.parametrize(("folder", "stage"), STAGES)
def test_a_stage_has_one_name_and_writes_into_its_own_folder(folder, stage):
    definition = PIPELINES[folder][stage]
    assert definition["cmd"].startswith(f"cot stage {stage}")
    assert (ROOT / f"{page(folder, stage).replace('.', '/')}.py").exists()
    outputs = [*definition["outs"], *definition.get("metrics", [])]
    assert all(f"{path}/".startswith(f"data/{stage}/") for path in outputs)


@pytest.mark.parametrize("folder", PIPELINES)
def test_a_run_id_is_an_output_that_no_stage_reads(folder):
    read = [path for definition in PIPELINES[folder].values() for path in definition["deps"]]
    assert not [path for path in read if path.endswith("run.json")]


@pytest.mark.parametrize("folder", PIPELINES)
def test_what_a_stage_reads_of_another_one_is_that_ones_output(folder):
    stages = PIPELINES[folder].values()

    def paths(name):
        """Of the first seed, as all seeds have the same."""
        given = [path for stage in stages for path in stage.get(name, [])]
        return {re.sub(r"seed-\$\{[^}]*\}", "seed-0", path) for path in given}

    written = paths("outs") | paths("metrics")
    read = {f"{path}/" for path in paths("deps") if path.startswith("data/")}
    assert not [
        path
        for path in read
        if not any(f"{one}/".startswith(path) or path.startswith(f"{one}/") for one in written)
    ]
