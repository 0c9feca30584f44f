"""Imports run one way, and dvc.yaml names what a stage imports."""

import os
import re
import subprocess
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PIPELINES = {
    folder: YAML(typ="safe").load((ROOT / folder / "dvc.yaml").read_text())["stages"]
    for folder in (".", "experiments/claims")
}
STAGES = [(folder, stage) for folder, stages in PIPELINES.items() for stage in stages]


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("pipeline", "stages")


def file_of(module):
    return f"{module.replace('.', '/')}.py"


def test_import_contracts_are_kept():
    result = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_method_imports_nothing_else_of_the_project(graph):
    method = graph.find_descendants("pipeline.cotuning") | {"pipeline.cotuning"}
    imported = {
        name for module in method for name in graph.find_modules_directly_imported_by(module)
    }
    assert imported <= method


def below_root(folder, path):
    """A path in the dvc.yaml of a folder, as one from the project's root."""
    return os.path.normpath(f"{folder}/{path}")


@pytest.mark.parametrize(("folder", "stage"), STAGES)
def test_the_dependencies_of_a_stage_are_exactly_the_modules_that_it_imports(graph, folder, stage):
    module = f"stages.{stage.replace('-', '_')}"
    imported = {module} | graph.find_upstream_modules(module)
    files = {file_of(name) for name in imported if (ROOT / file_of(name)).exists()}
    dependencies = PIPELINES[folder][stage]["deps"]
    listed = {below_root(folder, name) for name in dependencies if name.endswith(".py")}
    assert listed == files


@pytest.mark.parametrize(("folder", "stage"), STAGES)
def test_a_stage_has_one_name_and_writes_into_its_own_folder(folder, stage):
    definition = PIPELINES[folder][stage]
    assert definition["cmd"].startswith(f"cot stage {stage}")
    assert (ROOT / f"stages/{stage.replace('-', '_')}.py").exists()
    outputs = [*definition["outs"], *definition.get("metrics", [])]
    assert all(f"{path}/".startswith(f"data/{stage}/") for path in outputs)


@pytest.mark.parametrize("folder", PIPELINES)
def test_a_run_id_is_an_output_that_no_stage_reads(folder):
    read = [path for definition in PIPELINES[folder].values() for path in definition["deps"]]
    assert not [path for path in read if path.endswith("run.json")]


@pytest.mark.parametrize("folder", PIPELINES)
def test_what_a_stage_reads_of_another_one_is_that_ones_output(folder):
    stages = PIPELINES[folder].values()
    written = [path for stage in stages for path in [*stage["outs"], *stage.get("metrics", [])]]
    read = {path for stage in stages for path in stage["deps"] if path.startswith("data/")}
    assert not [
        path for path in read if not any(f"{one}/".startswith(f"{path}/") for one in written)
    ]


def test_no_source_file_grows_beyond_250_lines():
    long = {
        path: lines
        for path in [
            *ROOT.glob("pipeline/**/*.py"),
            *ROOT.glob("stages/*.py"),
            *ROOT.glob("tests/**/*.py"),
        ]
        if (lines := len(path.read_text().splitlines())) > 250
    }
    assert not long


def test_no_registry_host_is_written_into_the_project():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    host = re.compile(r"pypi\.org|pythonhosted|deb\.debian\.org|registry\.npmjs")
    named = [
        name
        for name in files.split()
        if name != "tests/test_structure.py"
        and host.search((ROOT / name).read_text(errors="ignore"))
    ]
    assert not named
