"""How long a training run is, its optimizer, and its learning rate at every iteration."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.params.sections import Optimization


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


def training_length(training: Optimization, samples: int) -> Length:
    """The length of a run on so many training images or sentences.

    A pass over them is as many iterations as they fill batches, at least one.
    """
    taken = training.batch_size * training.accumulated_batches
    per_epoch = training.iterations_per_epoch or max(samples // taken, 1)
    return Length(training.iterations or (training.epochs or 0) * per_epoch, per_epoch)


def samples_passed(training: Optimization, samples: int) -> int:
    """How many images or sentences a whole run on so many passes, each as often as it is passed."""
    batches = training_length(training, samples).iterations * training.accumulated_batches
    return batches * min(training.batch_size, samples)


def new_optimizer(groups: list[dict[str, Any]], training: Optimization) -> torch.optim.Optimizer:
    """SGD with Nesterov's momentum, or AdamW with the betas and epsilon that torch has for it.

    Args:
        groups: of parameters, each with its rate or, without one, at the training's.
    """
    rates: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.optimizer == "adamw":
        return torch.optim.AdamW(groups, **rates, fused=True)
    momentum = training.momentum
    return torch.optim.SGD(groups, **rates, momentum=momentum, nesterov=momentum > 0, fused=True)


def learning_rate_factor(training: Optimization, length: Length) -> Callable[[int], float]:
    """The factor of the learning rate at each iteration, counted from 0: by cosine or on a line to
    0, or in steps; before that it rises on a line from 0 while the training warms up.
    """
    unit = 1 if training.iterations else length.iterations_per_epoch
    drops = [step * unit for step in training.step_at]
    warmup = round(training.warmup * length.iterations)

    def factor(iteration: int) -> float:
        if iteration < warmup:
            return iteration / warmup
        if training.schedule == "step":
            return training.step_factor ** sum(iteration >= drop for drop in drops)
        done = min((iteration - warmup) / max(length.iterations - warmup, 1), 1)
        return 1 - done if training.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))

    return factor
