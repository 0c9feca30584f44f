"""What is installed, against requirements that are met and that are not."""

from pathlib import Path

import pytest

from pipeline.checks.environment import packages, python_version

PROJECT = """
[project]
requires-python = "{python}"
dependencies = ["numpy>=1", "pandas{pandas}", "no-such-package; python_version < '3'"]
[project.optional-dependencies]
pipeline = ["{other}"]
"""


def write(folder: Path, python: str = ">=3.11", pandas: str = ">=2", other: str = "rich") -> Path:
    text = PROJECT.format(python=python, pandas=pandas, other=other)
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_what_is_asked_for_is_there(tmp_path: Path) -> None:
    assert packages(write(tmp_path)).state == "good"
    assert python_version(tmp_path).state == "good"


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"pandas": "<1"}, "pandas is "),
        ({"other": "no-such-package>=2"}, "no-such-package>=2 is missing"),
    ],
)
def test_a_package_too_old_or_missing_is_named(
    tmp_path: Path, wanted: dict[str, str], text: str
) -> None:
    found = packages(write(tmp_path, **wanted))
    assert found.state == "mend"
    assert found.text.startswith(text)


def test_another_python_is_to_be_mended(tmp_path: Path) -> None:
    assert python_version(write(tmp_path, python=">=9")).state == "mend"
