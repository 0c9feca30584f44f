"""What MLflow runs to serve an exported model: images as bytes in, classes out.

MLflow copies this file into the model, with the modules that it imports of this project; it needs
mlflow, onnxruntime, Pillow, cykooz-resizer, NumPy and pandas beside them, and neither PyTorch nor
the project.
"""

import base64
import json
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel, PythonModelContext

from pipeline.deployment.images import MOST_PIXELS, square_of


class Served(PythonModel):
    """An ONNX graph with what surrounds it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the graph, whose metadata says how images are prepared."""
        import onnxruntime

        self.session = onnxruntime.InferenceSession(
            context.artifacts["network"], providers=["CPUExecutionProvider"]
        )
        about = self.session.get_modelmeta().custom_metadata_map
        self.classes = np.array(json.loads(about["classes"]), dtype=object)
        prepared = json.loads(about["preprocessing"])
        self.size, self.interpolation = prepared["stored_size"], prepared["interpolation"]

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """A row an image: class, probability (calibrated), and probabilities of all classes.

        Args:
            model_input: column image, the bytes of image files, or these in base64.

        Raises:
            MlflowException: an image cannot be read; the message says which and why.
        """
        squares = [self.square(place, image) for place, image in enumerate(model_input["image"])]
        (found,) = self.session.run(None, {"images": np.stack(squares)})
        return pd.DataFrame(
            {
                "class": self.classes[found.argmax(axis=1)],
                "probability": found.max(axis=1).astype(np.float64),
                "probabilities": found.astype(np.float64).tolist(),
            }
        )

    def square(self, place: int, image: bytes | str) -> np.ndarray:
        """Uint8 [size, size, 3] of an image, as the model was trained on."""
        try:
            if isinstance(image, str):  # in base64, where lines may be broken
                image = base64.b64decode("".join(image.split()), validate=True)
            return square_of(image, self.size, MOST_PIXELS, self.interpolation)
        except ValueError as error:
            raise MlflowException(f"image {place}: {error}", BAD_REQUEST) from None


mlflow.models.set_model(Served())
