"""A program of torch.export: squares to calibrated probabilities, without the model's code."""

from pathlib import Path

import torch

from pipeline.deployment.classifier import Classifier, answers, traced
from pipeline.deployment.description import Description
from pipeline.deployment.exports import Answer
from pipeline.deployment.target_model import TargetModel

PACKAGES: tuple[str, ...] = ()
EXTRA = "export"
FILE = "model.pt2"


def refuse(source: str) -> None:
    """Nothing: every source model can be traced."""


def write(model: TargetModel, description: Description, folder: Path) -> None:
    classifier = Classifier(model.network, model.preprocessing, model.temperature)
    torch.export.save(traced(classifier, model.stored_size), folder / FILE)


def load(folder: Path) -> Answer:
    network = torch.export.load(folder / FILE).module()
    return lambda squares: answers(network, squares)


def loading(description: Description) -> str:
    size, resampling = description.stored_size, description.interpolation.upper()
    return f"""\
import numpy as np, torch
from PIL import Image

network = torch.export.load("{FILE}").module()
square = Image.open("image.jpg").convert("RGB")
square = square.resize(({size}, {size}), Image.Resampling.{resampling})
probabilities = network(torch.from_numpy(np.array(square)[None]))
"""
