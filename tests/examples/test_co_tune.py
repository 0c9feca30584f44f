"""The example as a user runs it, and the method by the name that it is installed under."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
HIDDEN = ("dvc", "mlflow", "optuna", "pandas", "pydantic", "typer", "pipeline", "stages")


def test_the_method_alone_needs_nothing_of_the_pipeline() -> None:
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({HIDDEN})); import cotuning;"
        "from cotuning import bi_tuning, knowledge, objectives, regularizers, transferability;"
        "print(cotuning.CoTuningModel.__module__)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "cotuning.model"


def test_the_command_says_what_is_missing_where_only_the_method_is_installed() -> None:
    script = "import sys; sys.modules['typer'] = None; from stages.entry import main; main()"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == (
        "Error: typer is not installed, only the method is; pip install "
        "'cotuning-pipeline[pipeline]' brings what the cot command needs\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["bare", "timm"])
def test_the_example_learns_in_both_loops(tmp_path: Path, loop: str) -> None:
    generator = np.random.default_rng(0)
    for label, colour in enumerate(((220, 40, 40), (40, 220, 40), (40, 40, 220))):
        folder = tmp_path / f"class {label}"
        folder.mkdir()
        for number in range(10):
            pixels = np.array(colour) + generator.integers(-30, 30, (64, 64, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    options = ["--model", "resnet10t", "--random-weights", "--loop", loop, "--epochs", "12"]
    result = subprocess.run(
        [sys.executable, str(ROOT / "examples/co_tune.py"), str(tmp_path), *options],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = re.fullmatch(r"validation accuracy: (\d+\.\d)%, last loss \d+\.\d{3}\n", result.stdout)
    assert found, result.stdout
    assert float(found[1]) > 60
