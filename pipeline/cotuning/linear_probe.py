"""Logistic regression on frozen features: what a source model's features know of the classes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from pipeline.cotuning.reverse import one_row_a_class, require_every_class

STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)  # C, from the weakest regularization
ITERATIONS = 1000


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier: features @ weight.T + bias are its logits.

    Attributes:
        weight: [target, feature].
        bias: [target].
        inverse_regularization: the C that was chosen.
        validation_accuracy: in [0, 1].
    """

    weight: Float[Tensor, "target feature"]
    bias: Float[Tensor, " target"]
    inverse_regularization: float
    validation_accuracy: float


def fit_linear_probe(
    features: Float[Tensor, "batch feature"],
    labels: Int[Tensor, " batch"],
    validation_features: Float[Tensor, "validation feature"],
    validation_labels: Int[Tensor, " validation"],
    target_classes: int,
) -> LinearProbe:
    """Multinomial logistic regression on standardised features, C by validation NLL.

    Accuracy is too coarse to choose by where a class has one validation image: it would take heads
    that are nearly uniform.

    Args:
        features: pooled, of the training images, any scale.
        labels: in [0, target_classes); every class has one.

    Returns:
        In float32, on the CPU, for features as they are given: the scale is folded in.

    Raises:
        ValueError: a class has no training sample, or there are fewer than two classes.
    """
    require_every_class(labels, target_classes)
    scaler = StandardScaler().fit(features.cpu().double().numpy())
    x, y = scaler.transform(features.cpu().double().numpy()), labels.cpu().numpy()
    # The solution lies in the span of the samples, which has at most as many dimensions as they.
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    held_out, truth = validation_features.cpu().double(), validation_labels.cpu().long()
    best, lowest = None, np.inf
    for strength in STRENGTHS:
        regression = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(left * singular, y)
        weight = torch.from_numpy(one_row_a_class(regression.coef_) @ right / scaler.scale_)
        intercept = torch.from_numpy(one_row_a_class(regression.intercept_[:, None])[:, 0])
        bias = intercept - weight @ torch.from_numpy(scaler.mean_)
        logits = held_out @ weight.T + bias
        accuracy = float((logits.argmax(dim=1) == truth).double().mean())
        nll = float(torch.nn.functional.cross_entropy(logits, truth))
        if nll < lowest:
            lowest = nll
            best = LinearProbe(weight.float(), bias.float(), strength, accuracy)
    assert best is not None
    return best
