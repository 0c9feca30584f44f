"""What a model of MLflow brings with it."""

import sys
from pathlib import Path

import grimp
import pytest

from pipeline.deployment import pyfunc
from pipeline.deployment.forms import mlflow
from pipeline.language.forms import mlflow as text_mlflow

DISTRIBUTIONS = {"PIL": "pillow", "cykooz_resizer": "cykooz-resizer"}  # where names differ


@pytest.mark.parametrize(
    ("script", "code", "requirements"),
    [
        ("deployment", mlflow.PROGRAM.code, mlflow.PROGRAM.requirements),
        ("language", text_mlflow.CODE, text_mlflow.REQUIREMENTS),
    ],
)
def test_a_served_model_holds_all_that_its_script_imports_and_no_more(
    script: str, code: tuple[str, ...], requirements: tuple[str, ...]
) -> None:
    graph = grimp.build_graph("pipeline", include_external_packages=True, cache_dir=None)
    imported = graph.find_upstream_modules(f"pipeline.{script}.forms.serving")
    own = {name for name in imported if name.startswith("pipeline.")}
    files = {f"{name.replace('.', '/')}.py" for name in own}
    packages = {f"{folder}/__init__.py" for file in files for folder in Path(file).parents[:-1]}
    assert set(code) == files | packages
    foreign = imported - own - sys.stdlib_module_names
    assert {DISTRIBUTIONS.get(name, name) for name in foreign} <= set(requirements)


def test_a_version_is_one_that_an_index_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pyfunc, "version", {"torch": "2.9.0+cpu", "mlflow": "3.17.2"}.__getitem__)
    script = tmp_path / "script.py"
    script.write_text(
        "import mlflow\n"
        "class Same(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input): return model_input\n"
        "mlflow.models.set_model(Same())\n"
    )
    program = pyfunc.Program(script, ("pipeline/__init__.py",), ("torch", "mlflow"))
    pyfunc.save_pyfunc(program, {"script": script}, tmp_path / "model")
    pinned = (tmp_path / "model/requirements.txt").read_text().split()
    assert pinned == ["torch==2.9.0", "mlflow==3.17.2"]
