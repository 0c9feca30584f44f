"""One network from stored squares to calibrated probabilities, for graphs that stand alone."""

import copy
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from pipeline.datasets.batches import Preprocessing

INPUT, OUTPUT = "images", "probabilities"


class Classifier(nn.Module):
    """Crops, normalises, classifies and calibrates, so that a program brings nothing but pixels.

    Args:
        network: network input to target logits, on the CPU.
        temperature: T > 0 of the probabilities, softmax(logits / T).
    """

    def __init__(
        self, network: nn.Module, preprocessing: Preprocessing, temperature: float
    ) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        self.temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities [N, classes] in float32 of images uint8 [N, size, size, 3]."""
        cropped = self.preprocessing.center_crop(images.permute(0, 3, 1, 2))
        return torch.softmax(self.network(cropped) / self.temperature, dim=1)


def traced(classifier: Classifier, size: int) -> ExportedProgram:
    """The program of torch.export for batches of any number of images.

    Args:
        size: side of its images in pixels.
    """
    example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    shapes = ({0: Dim("batch", min=1)},)
    # Weights of a network that has predicted in inference mode cannot be traced, copies can.
    copied = copy.deepcopy(classifier).requires_grad_(False).eval()
    copied.to(memory_format=torch.contiguous_format)
    return torch.export.export(copied, (example,), dynamic_shapes=shapes)


@torch.inference_mode()
def answers(network: nn.Module, squares: np.ndarray) -> np.ndarray:
    """What a network like Classifier gives for images uint8 [N, size, size, 3]."""
    return cast(np.ndarray, network(torch.from_numpy(squares)).numpy())
