import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.common.resume import resume_key

PACKAGE = Path(__file__).parents[3] / "pipeline"
PARAMS = {"seed": 1, "fine_tune": {"epochs": 3, "learning_rate": 0.1}}
CODE = ("cotuning/*.py",)


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    for name in "ab":
        (tmp_path / name).write_text(f"content of {name}")
    return [tmp_path / "a", tmp_path / "b"]


def test_the_key_is_a_file_name_that_repeats(inputs: list[Path]) -> None:
    key = resume_key(PARAMS, inputs, CODE)
    assert key == resume_key(PARAMS, inputs, CODE)
    assert len(key) == 16
    assert key.isalnum()


def test_the_order_of_the_parameters_does_not_matter(inputs: list[Path]) -> None:
    turned = {name: PARAMS[name] for name in reversed(PARAMS)}
    assert resume_key(turned, inputs, CODE) == resume_key(PARAMS, inputs, CODE)


def test_time_and_place_of_the_inputs_do_not_matter(inputs: list[Path], tmp_path: Path) -> None:
    key = resume_key(PARAMS, inputs, CODE)
    os.utime(inputs[0], (1, 1))
    assert resume_key(PARAMS, inputs, CODE) == key
    moved = inputs[0].rename(tmp_path / "moved")
    assert resume_key(PARAMS, [moved, inputs[1]], CODE) == key


@pytest.mark.parametrize(
    "params",
    [
        PARAMS | {"seed": 2},
        PARAMS | {"seed": None},
        PARAMS | {"fine_tune": {"epochs": 3, "learning_rate": 0.10001}},
        {"seed": 1},
    ],
)
def test_other_parameters_give_another_key(inputs: list[Path], params: dict[str, object]) -> None:
    assert resume_key(params, inputs, CODE) != resume_key(PARAMS, inputs, CODE)


def test_other_content_gives_another_key_even_at_the_same_time_and_size(
    inputs: list[Path],
) -> None:
    key = resume_key(PARAMS, inputs, CODE)
    before = inputs[1].stat()
    inputs[1].write_text("content of c")
    os.utime(inputs[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert inputs[1].stat().st_size == before.st_size
    assert resume_key(PARAMS, inputs, CODE) != key


def test_inputs_are_not_interchangeable(inputs: list[Path]) -> None:
    key = resume_key(PARAMS, inputs, CODE)
    assert resume_key(PARAMS, inputs[::-1], CODE) != key
    assert resume_key(PARAMS, inputs[:1], CODE) != key


def test_other_code_gives_another_key(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))

    def key_of_the_copy() -> str:
        code = f"from pipeline.common.resume import *; print(resume_key({{}}, [], {CODE}))"
        command = [sys.executable, "-c", code]
        return subprocess.check_output(command, cwd=tmp_path, text=True).strip()

    key = key_of_the_copy()
    assert key == resume_key({}, [], CODE)
    loss = tmp_path / "pipeline" / "cotuning" / "losses.py"
    loss.write_text(loss.read_text().replace("source_weight < 0", "source_weight < 1"))
    assert key_of_the_copy() != key
