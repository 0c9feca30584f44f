"""A stage loads what it uses, in a process of its own: the rest costs seconds at each start."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from finished_project import CLASSES, write_project

from pipeline.artifacts import SplitLogits, Store
from pipeline.common.formats import write_json

# Tells whether the result lay there when matplotlib was asked for, and what is loaded in the end.
SCRIPT = """
import importlib
import sys
from pathlib import Path
from pipeline.params import Params

stage, result = sys.argv[1:]
lay_there = []

class Watch:
    def find_spec(self, name, path, target=None):
        if name == "matplotlib":
            lay_there.append(Path(result).exists())

sys.meta_path.insert(0, Watch())
importlib.import_module(f"stages.{stage}").run(Params())
print(lay_there[0], *{name.partition(".")[0] for name in sys.modules}, "scipy.stats" in sys.modules)
"""
NEVER = {"torchvision", "timm", "transformers", "optuna", "sklearn"}


def loaded(root: Path, stage: str, result: str) -> tuple[bool, set[str]]:
    """Whether `result` was there when drawing began; the packages that were loaded."""
    (root / "params.yaml").touch()
    command = [sys.executable, "-c", SCRIPT, stage, result]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    lay_there, *packages, statistics = answer.stdout.split()
    return lay_there == "True", {*packages, *(["scipy.stats"] if statistics == "True" else [])}


@pytest.mark.processes
def test_the_report_loads_no_torch(project: Path) -> None:
    write_project(project, {"vanilla": 0.70, "co-tuning": 0.80})
    _, packages = loaded(project, "report", "data/report/accuracy.json")
    assert (project / "data/report/report.html").exists()
    assert not packages & {*NEVER, "torch", "scipy.stats"}


@pytest.mark.processes
def test_calibrate_loads_matplotlib_last(project: Path) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> SplitLogits:
        labels = torch.arange(count) % len(CLASSES)
        logits = torch.randn(count, 5, generator=generator) + 2 * torch.eye(5)[labels]
        return SplitLogits(logits, labels, torch.arange(count))

    store = Store(project)
    names = {"classes": CLASSES, "source_folders": []}
    write_json(store.path("prepare-data", "classes.json"), names)
    store.save_logits({"train": draw(60), "validation": draw(30)}, tuple("vwxyz"))
    result = store.path("calibrate", "calibration.json")
    lay_there, packages = loaded(project, "calibrate", str(result))
    assert lay_there
    assert not packages & {*NEVER, "scipy.stats"}
