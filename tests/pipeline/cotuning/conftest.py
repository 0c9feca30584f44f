from typing import NamedTuple

import jaxtyping
import pytest
import torch


class Splits(NamedTuple):
    train_logits: torch.Tensor
    train_labels: torch.Tensor
    validation_logits: torch.Tensor
    validation_labels: torch.Tensor
    target_classes: int


@pytest.fixture(scope="session")
def make_splits():
    """Source logits scattered around one centre a class; every class is in both splits."""

    def make(seed, train=60, validation=30, source=12, target=4, noise=1.0):
        generator = torch.Generator().manual_seed(seed)
        centres = 2 * torch.randn(target, source, generator=generator)

        def split(size):
            labels = torch.arange(size) % target
            return centres[labels] + noise * torch.randn(size, source, generator=generator), labels

        return Splits(*split(train), *split(validation), target)

    return make


@pytest.fixture
def without_shape_checks():
    """What a user sees: beartype reads the shapes in tests only."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
