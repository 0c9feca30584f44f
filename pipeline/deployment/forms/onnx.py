"""An ONNX graph: squares to calibrated probabilities, with all about it in its metadata."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
import torch

from pipeline.deployment.classifier import INPUT, OUTPUT, Classifier, traced
from pipeline.deployment.description import Description
from pipeline.deployment.exports import Answer
from pipeline.deployment.target_model import TargetModel

PACKAGES: tuple[str, ...] = ("onnx", "onnxruntime", "onnxscript")
EXTRA = "export"
FILE = "model.onnx"


def refuse(source: str) -> None:
    """Nothing: what cannot be converted is known only then."""


def write(model: TargetModel, description: Description, folder: Path) -> None:
    import onnx

    classifier = Classifier(model.network, model.preprocessing, model.temperature)
    program = torch.onnx.export(
        traced(classifier, model.stored_size),
        dynamo=True,
        input_names=[INPUT],
        output_names=[OUTPUT],
        external_data=False,
        verbose=False,
    )
    assert program is not None, "dynamo=True gives a program"
    graph = program.model_proto
    values = {name: json.dumps(value) for name, value in asdict(description).items()}
    onnx.helper.set_model_props(graph, values)
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(graph)
    onnx.save(graph, folder / FILE)


def load(folder: Path) -> Answer:
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])

    def answer(squares: np.ndarray) -> np.ndarray:
        return cast(np.ndarray, session.run([OUTPUT], {INPUT: squares})[0])

    return answer


def loading(description: Description) -> str:
    size, resampling = description.stored_size, description.interpolation.upper()
    return f"""\
import numpy as np, onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("{FILE}")
square = Image.open("image.jpg").convert("RGB")
square = square.resize(({size}, {size}), Image.Resampling.{resampling})
probabilities = session.run(None, {{"{INPUT}": np.array(square)[None]}})[0]
"""
