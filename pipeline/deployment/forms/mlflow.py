"""A pyfunc model of MLflow that takes images as bytes: an ONNX graph and a script, no pickle."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.deployment.description import Description
from pipeline.deployment.exports import Answer
from pipeline.deployment.forms import onnx
from pipeline.deployment.pyfunc import Program, load_pyfunc, save_pyfunc
from pipeline.deployment.target_model import TargetModel

PACKAGES = onnx.PACKAGES
EXTRA = onnx.EXTRA
PROGRAM = Program(
    script=Path(__file__).with_name("serving.py"),
    code=(
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
    ),
    requirements=("cykooz-resizer", "mlflow", "numpy", "onnxruntime", "pandas", "pillow"),
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
    with tempfile.TemporaryDirectory() as work:
        onnx.write(model, description, Path(work))
        save_pyfunc(
            PROGRAM,
            {"network": Path(work) / onnx.FILE},
            folder,
            signature=ModelSignature(Schema([ColSpec("binary", "image")]), outputs),
            input_example=pd.DataFrame({"image": [_grey(description.stored_size)]}),
            metadata={"classes": list(description.classes), "method": description.method},
        )


def load(folder: Path) -> Answer:
    served = load_pyfunc(folder)

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


def _grey(size: int) -> bytes:
    """An example that shows nobody's image."""
    return png(np.full((size, size, 3), 128, np.uint8))
