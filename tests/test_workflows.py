"""The workflows of GitHub, which run elsewhere: checked as far as they can be here."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_valid(path):
    result = subprocess.run(["actionlint", path], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("script", [".ci/run", ".ci/comment"])
def test_what_workflows_call_can_be_called(script):
    assert any(script in path.read_text() for path in WORKFLOWS)
    assert os.access(ROOT / script, os.X_OK)
