"""A pyfunc model of MLflow that takes images as bytes: an ONNX graph and a script, no pickle."""

import io
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.deployment.description import Description
from pipeline.deployment.exports import Answer
from pipeline.deployment.forms import onnx
from pipeline.deployment.target_model import TargetModel

PACKAGES = onnx.PACKAGES
EXTRA = onnx.EXTRA
REQUIREMENTS = ("cykooz-resizer", "mlflow", "numpy", "onnxruntime", "pandas", "pillow")
PROJECT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("serving.py")
# What the script imports of the project, packages by their __init__.py.
CODE = (
    "pipeline/__init__.py",
    "pipeline/common/__init__.py",
    "pipeline/common/errors.py",
    "pipeline/common/files.py",
    "pipeline/common/interpolation.py",
    "pipeline/datasets/__init__.py",
    "pipeline/datasets/listing.py",
    "pipeline/datasets/store/__init__.py",
    "pipeline/datasets/store/decode.py",
    "pipeline/deployment/__init__.py",
    "pipeline/deployment/images.py",
)
refuse = onnx.refuse


def write(model: TargetModel, description: Description, folder: Path) -> None:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

    outputs = Schema(
        [
            ColSpec("string", "class"),
            ColSpec("double", "probability"),
            ColSpec(Array(DataType.double), "probabilities"),
        ]
    )
    with tempfile.TemporaryDirectory() as work, _code() as code, _unchanged_path():
        onnx.write(model, description, Path(work))
        _pyfunc().save_model(
            folder,
            python_model=str(SCRIPT),
            artifacts={"network": str(Path(work) / onnx.FILE)},
            code_paths=[str(code)],
            signature=ModelSignature(Schema([ColSpec("binary", "image")]), outputs),
            input_example=pd.DataFrame({"image": [_grey(description.stored_size)]}),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            metadata={"classes": list(description.classes), "method": description.method},
        )


def load(folder: Path) -> Answer:
    with _unchanged_path():
        served = _pyfunc().load_model(str(folder))

    def answer(squares: np.ndarray) -> np.ndarray:
        images = pd.DataFrame({"image": [png(square) for square in squares]})
        return np.stack(served.predict(images)["probabilities"].tolist())

    return answer


def png(square: np.ndarray) -> bytes:
    """The file of an image uint8 [height, width, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(square).save(buffer, "PNG")
    return buffer.getvalue()


def loading(description: Description) -> str:
    return """\
from pathlib import Path
import mlflow, pandas as pd

model = mlflow.pyfunc.load_model(".")
images = pd.DataFrame({"image": [Path("image.jpg").read_bytes()]})
print(model.predict(images))
"""


def _pyfunc() -> Any:
    """The part of MLflow, which else talks about each step."""
    import mlflow
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    return mlflow.pyfunc


@contextmanager
def _unchanged_path() -> Iterator[None]:
    """MLflow leaves a model's own code before this project's on the path of modules."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path = before


def _grey(size: int) -> bytes:
    """An example that shows nobody's image."""
    return png(np.full((size, size, 3), 128, np.uint8))


@contextmanager
def _code() -> Iterator[Path]:
    """A folder `pipeline` with what the script imports of it."""
    with tempfile.TemporaryDirectory() as work:
        for name in CODE:
            place = Path(work) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, place)
        yield Path(work) / "pipeline"
