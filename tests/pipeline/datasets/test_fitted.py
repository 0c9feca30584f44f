"""Images that are stored larger than the centre crop asks for."""

import pytest
import torch
from torchvision.transforms import v2

from pipeline.datasets.batches import Preprocessing

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def test_images_stored_much_too_large_are_fitted_to_the_crop_first() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8, generator=generator)
    preprocessing = Preprocessing(28, MEAN, STD)
    assert preprocessing.fitted_side(64) == 32
    smaller = v2.functional.resize(images.float(), [32, 32], antialias=True)
    expected = preprocessing.normalize(smaller[..., 2:30, 2:30])
    torch.testing.assert_close(preprocessing.center_crop(images), expected)
    boxes, flips = (
        torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(3, 1),
        torch.zeros(3, dtype=torch.bool),
    )
    expected = preprocessing.crop(smaller, boxes, flips)
    torch.testing.assert_close(preprocessing.crop(images, boxes, flips), expected)
    for view, same in zip(
        preprocessing.crops(images, 10), preprocessing.crops(smaller, 10), strict=True
    ):
        torch.testing.assert_close(view, same)


@pytest.mark.parametrize(
    ("size", "fraction", "stored", "fitted"),
    [
        (224, 0.875, 256, 256),
        (112, 0.875, 140, 140),
        (112, 0.875, 141, 128),
        (224, 1.0, 256, 224),
        (32, 0.875, 32, 32),
    ],
)
def test_up_to_a_tenth_larger_than_the_crop_asks_for_stays_as_it_is(
    size: int, fraction: float, stored: int, fitted: int
) -> None:
    found = Preprocessing(size, MEAN, STD, crop_fraction=fraction)
    assert found.fitted_side(stored) == fitted
