"""Soft source labels for each image, in place of one for each class."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from .knowledge import smoothed


def posterior_labels(
    predictions: Float[Tensor, "image source"],
    labels: Int[Tensor, " image"],
    relationship: Float[Tensor, "target source"],
    source_marginal: Float[Tensor, " source"],
) -> Float[Tensor, "image source"]:
    r"""What the image and its class together say of its source category.

    .. math:: p(s \mid x, y) \propto p(s \mid x) \, R[y, s] / p(s)

    Bayes' rule where image and class are independent given the source category; R and the
    marginal are smoothed.

    Args:
        predictions: calibrated p(s | x) of the source model, rows sum to 1.
        labels: target classes, in [0, target).
        relationship: R[t] = p(y_s | y_t = t).
        source_marginal: p(y_s), sums to 1.

    Returns:
        Rows that sum to 1, float64.
    """
    ratio = smoothed(relationship.double()) / smoothed(source_marginal.double())
    joint = predictions.double() * F.embedding(labels.long(), ratio)
    return joint / joint.sum(dim=1, keepdim=True)
