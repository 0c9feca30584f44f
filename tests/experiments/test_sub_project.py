"""The studies are a project of DVC beside the main one."""

import os
from pathlib import Path

from ruamel.yaml import YAML
from small_project import clean

ROOT = Path(__file__).parents[2]


def test_code_is_read_where_compiled_modules_are_ignored():
    stages = YAML(typ="safe").load((ROOT / "experiments/dvc.yaml").read_text())["stages"]
    read = [
        os.path.normpath(f"experiments/{stage.get('wdir', 'study')}/{path}")
        for stage in (one.get("do", one) for one in stages.values())
        for path in stage["deps"]
    ]
    assert "experiments/stages/claims.py" in {path.replace("${key}/../", "") for path in read}
    assert not [path for path in read if path.startswith(("pipeline", "stages"))]
    clean(ROOT / "experiments", "dvc", "check-ignore", "pipeline/claims/__pycache__/table.pyc")


def test_neither_project_sees_the_stages_of_the_other():
    main = clean(ROOT, "dvc", "stage", "list", "--all", "--name-only").split()
    studies = clean(ROOT / "experiments", "dvc", "stage", "list", "--all", "--name-only").split()
    assert {"tune", "report"} <= set(main)
    assert {"claims@photographs", "gain-against-knowledge"} <= set(studies)
    assert not {name for name in studies if name in main}
    assert not [name for name in main if "/" in name], "no other file of stages is in the project"
