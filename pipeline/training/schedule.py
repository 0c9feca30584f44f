"""How long a training run is, and its learning rate at every iteration."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.params.sections import Training


@dataclass(frozen=True)
class Length:
    """Of a training run.

    Attributes:
        iterations: of the whole run.
        iterations_per_epoch: between two validations; the last epoch may be shorter.
    """

    iterations: int
    iterations_per_epoch: int

    @property
    def epochs(self) -> int:
        """A last one that is cut short counts."""
        return math.ceil(self.iterations / self.iterations_per_epoch)

    def iterations_of(self, epoch: int) -> int:
        """How many iterations an epoch has; epochs count from 1."""
        done = (epoch - 1) * self.iterations_per_epoch
        return min(self.iterations_per_epoch, self.iterations - done)


def training_length(training: Training, images: int) -> Length:
    """The length of a run on so many training images.

    A pass over them is as many iterations as they fill batches, at least one.
    """
    per_epoch = training.iterations_per_epoch or max(images // training.batch_size, 1)
    return Length(training.iterations or (training.epochs or 0) * per_epoch, per_epoch)


def learning_rate_factor(training: Training, length: Length) -> Callable[[int], float]:
    """The factor of the learning rate at each iteration, counted from 0: cosine to 0, or in
    steps.
    """
    unit = 1 if training.iterations else length.iterations_per_epoch
    drops = [step * unit for step in training.step_at]

    def cosine(iteration: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * min(iteration / length.iterations, 1)))

    def by_steps(iteration: int) -> float:
        return training.step_factor ** sum(iteration >= drop for drop in drops)

    return cosine if training.schedule == "cosine" else by_steps
