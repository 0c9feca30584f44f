"""Source files stay short, and name no registry's host."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


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
    host = r"pypi\.org|pythonhosted|deb\.debian\.org|registry\.npmjs"
    command = ["git", "grep", "-lE", host, "--", ":!tests/test_source_files.py"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")
