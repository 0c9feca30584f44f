"""What evaluate says about the source head."""

import pytest
import torch
from scipy.stats import entropy

from pipeline.artifacts import SplitLogits
from stages.evaluate import distance_to_relationship

CLASSES = ["NA", "001", "ä"]


def test_the_distance_is_a_mean_over_images_and_null_for_a_class_without_any() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5, 8, generator=generator)
    relationship = torch.randn(3, 8, generator=generator).softmax(dim=1)
    labels = torch.tensor([0, 2, 2, 0, 0])
    reference = [
        entropy(relationship[label].double(), logits[image].double().softmax(dim=0))
        for image, label in enumerate(labels.tolist())
    ]
    split = SplitLogits(logits, labels, torch.arange(5))
    found = distance_to_relationship(split, relationship, CLASSES)
    assert found["mean"] == pytest.approx(sum(reference) / 5, abs=1e-6)
    assert found["by_class"] == {
        "NA": pytest.approx((reference[0] + reference[3] + reference[4]) / 3, abs=1e-6),
        "001": None,
        "ä": pytest.approx((reference[1] + reference[2]) / 2, abs=1e-6),
    }
