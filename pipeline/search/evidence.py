"""What images that were held out of trainings say of a candidate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.cotuning.calibration import fit_temperature
from pipeline.search.difference import Evidence

TEMPERATURE_BOUNDS = (1 / 8, 8.0)
# More numbers than these say nothing more of a mean, and a database's field holds them.
MOST_NUMBERS = 1000


@dataclass(frozen=True)
class HeldOut:
    """Logits [N, classes] and labels [N] of images that were held out of one training.

    Attributes:
        places: [N], of the images among all that are held out once or more.
    """

    places: Tensor
    logits: Tensor
    labels: Tensor


def evidence_of(held_out: Sequence[HeldOut]) -> Evidence:
    """What was held out of several trainings of one candidate, at one temperature for all of it.

    Calibration alone is no reason to prefer a candidate: each is judged at the temperature, in
    [1/8, 8], that suits it best. An image that several trainings held out counts once, by its
    mean; more than 1,000 images are averaged in neighbouring groups to 1,000 numbers.
    """
    losses, places = _scaled_losses(held_out), torch.cat([part.places for part in held_out])
    correct = torch.cat([part.logits.argmax(dim=1) == part.labels for part in held_out])
    return Evidence(_by_image(losses, places), _by_image(correct.double(), places))


def latest_loss(held_out: Sequence[HeldOut]) -> float:
    """Mean loss in nats of what the last training held out, at the temperature of all so far."""
    return float(_scaled_losses(held_out)[-len(held_out[-1].labels) :].mean())


def _scaled_losses(held_out: Sequence[HeldOut]) -> Tensor:
    logits = torch.cat([part.logits for part in held_out]).double()
    labels = torch.cat([part.labels for part in held_out]).long()
    temperature = fit_temperature(logits, labels, TEMPERATURE_BOUNDS).temperature
    return F.cross_entropy(logits / temperature, labels, reduction="none")


def _by_image(values: Tensor, places: Tensor) -> np.ndarray:
    count = places.bincount()
    means = (places.bincount(values) / count)[count > 0].numpy()
    return np.array(
        [group.mean() for group in np.array_split(means, min(len(means), MOST_NUMBERS))]
    )
