"""Crops, flips and batches, against torchvision and plain formulas."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional

from pipeline.datasets.batches import (
    ImageSet,
    Preprocessing,
    evaluation_batches,
    random_boxes,
    resample,
    training_batches,
)

CPU = torch.device("cpu")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PLAIN = Preprocessing(8, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_set(count: int, side: int = 12) -> ImageSet:
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return ImageSet(images, np.arange(count), np.arange(count))


def grey_set(rows: list[int]) -> ImageSet:
    """Image number n is all of brightness n, and so is its label, wherever it is cut."""
    images = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None, None], (60, 12, 12, 3))
    return ImageSet(np.ascontiguousarray(images), np.array(rows), np.array(rows))


def ramp() -> Tensor:
    """Brightness rises from left to right and from top to bottom, [1, 1, 32, 32]."""
    steps = torch.arange(32.0)
    return (steps[None, :] + 10 * steps[:, None])[None, None]


def whole(count: int) -> Tensor:
    return torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(count, 1)


def test_equal_images_of_a_batch_are_cropped_differently() -> None:
    image = torch.from_numpy(random_set(1).images).permute(0, 3, 1, 2)
    crops = PLAIN.random_crop(image.repeat(16, 1, 1, 1), generator()).flatten(1)
    assert torch.cdist(crops, crops).fill_diagonal_(torch.inf).min() > 1


def test_about_half_of_a_batch_is_flipped() -> None:
    batch = ramp().repeat(400, 3, 1, 1)
    crops = PLAIN.random_crop(batch, generator())
    falls = (crops[:, 0, 4, -1] < crops[:, 0, 4, 0]).float()
    assert 0.4 < falls.mean() < 0.6
    assert (crops[:, 0, -1, 4] > crops[:, 0, 0, 4]).all(), "an image was turned upside down"


def test_the_seed_alone_decides_the_batches() -> None:
    images = random_set(20)

    def epoch(seed: int) -> tuple[Tensor, ...]:
        torch.rand(seed + 1)  # the global generator has no part in it
        batches = list(training_batches(images, PLAIN, 5, generator(seed), CPU))
        return tuple(torch.cat(part) for part in zip(*batches, strict=True))

    first, again, other = epoch(3), epoch(3), epoch(4)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[1], other[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("count", [3, 8, 11])
def test_order_is_drawn_first_and_crops_batch_by_batch(count: int) -> None:
    """So it makes no difference how far a loader runs ahead of the crops."""
    images, by_hand = random_set(count), generator(1)
    order = torch.randperm(count, generator=by_hand)
    pixels = torch.from_numpy(images.images).permute(0, 3, 1, 2)
    batches = list(training_batches(images, PLAIN, 4, generator(1), CPU))
    assert len(batches) == max(count // 4, 1)
    for number, (batch, labels, which) in enumerate(batches):
        rows = order[4 * number : 4 * number + 4]
        assert torch.equal(labels, rows)
        assert torch.equal(which, rows)
        assert torch.equal(batch, PLAIN.random_crop(pixels[rows], by_hand))


@pytest.mark.parametrize("smallest", [0.08, 0.2])
def test_boxes_are_distributed_like_torchvisions(smallest: float) -> None:
    count, side = 20_000, 4096
    boxes = random_boxes(count, generator(), smallest).double()
    left, top, width, height = boxes.unbind(dim=1)
    assert (boxes >= 0).all()
    assert (left + width).max() <= 1 + 1e-6
    assert (top + height).max() <= 1 + 1e-6
    torch.manual_seed(0)
    blank = torch.empty(3, side, side, dtype=torch.uint8)
    drawn = [
        RandomResizedCrop.get_params(blank, (smallest, 1.0), (3 / 4, 4 / 3)) for _ in range(count)
    ]
    t_top, t_left, t_height, t_width = (torch.tensor(drawn).double() / side).unbind(dim=1)
    pairs = {
        "area": (width * height, t_width * t_height),
        "aspect": (width / height, t_width / t_height),
        "left": (left, t_left),
        "top": (top, t_top),
        "middle": (left + width / 2, t_left + t_width / 2),
    }
    distance = {name: ks_2samp(*pair).statistic for name, pair in pairs.items()}
    assert max(distance.values()) < 0.02, distance  # 0.1% of equal distributions exceed it


def test_a_box_that_never_fits_is_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.datasets.batches.CROP_ASPECT", (1.2, 4 / 3))
    assert torch.equal(random_boxes(5, generator(), 0.99), whole(5))


def test_the_whole_image_at_its_own_size_is_the_image() -> None:
    images = torch.rand(3, 3, 16, 16, generator=generator())
    kept = resample(images, whole(3), torch.tensor([False, True, False]), 16)
    torch.testing.assert_close(kept[[0, 2]], images[[0, 2]], atol=1e-5, rtol=0)
    torch.testing.assert_close(kept[1], torch.flip(images[1], dims=[-1]), atol=1e-5, rtol=0)


def test_nothing_from_outside_the_image_comes_in_at_its_edge() -> None:
    crops = resample(torch.ones(2, 3, 8, 8), whole(2), torch.tensor([False, True]), 20)
    torch.testing.assert_close(crops, torch.ones(2, 3, 20, 20))


@pytest.mark.parametrize("size", [8, 16, 11, 32])
def test_a_half_box_agrees_with_torchvision(size: int) -> None:
    images = torch.rand(2, 3, 32, 32, generator=generator()) * 255
    top, left, pixels = 4, 10, 16
    box = torch.tensor([[left, top, pixels, pixels]]).repeat(2, 1) / 32
    found = resample(images, box, torch.tensor([False, True]), size)
    reference = functional.resized_crop(
        images, top, left, pixels, pixels, [size, size], antialias=False
    )
    reference[1] = reference[1].flip(-1)
    if size > pixels:  # torchvision does not look beyond the edge of the box
        found, reference = found[..., 1:-1, 1:-1], reference[..., 1:-1, 1:-1]
    torch.testing.assert_close(found, reference, atol=0.01, rtol=0)


def test_normalisation_is_the_plain_formula() -> None:
    images = torch.from_numpy(random_set(2).images).permute(0, 3, 1, 2)
    found = Preprocessing(12, MEAN, STD).normalize(images)
    for channel in range(3):
        expected = (images[:, channel] / 255 - MEAN[channel]) / STD[channel]
        torch.testing.assert_close(found[:, channel], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("size", "first"), [(28, 2), (27, 2), (32, 0)])
def test_the_centre_crop_is_the_middle(size: int, first: int) -> None:
    crop = Preprocessing(size, PLAIN.mean, PLAIN.std).center_crop(ramp().repeat(1, 3, 1, 1))
    expected = ramp()[..., first : first + size, first : first + size]
    torch.testing.assert_close(crop[:, :1], expected)


@pytest.mark.parametrize(
    ("count", "trained", "evaluated"),
    [(10, [4, 4], [4, 4, 2]), (8, [4, 4], [4, 4]), (3, [3], [3]), (4, [4], [4])],
)
def test_a_partial_batch_is_dropped_in_training_unless_it_is_the_only_one(
    count: int, trained: list[int], evaluated: list[int]
) -> None:
    images = random_set(count)
    batches = training_batches(images, PLAIN, 4, generator(), CPU)
    assert [len(labels) for _, labels, _ in batches] == trained
    assert [len(labels) for _, labels in evaluation_batches(images, PLAIN, 4, CPU)] == evaluated


def test_evaluation_gives_every_image_once_in_order_with_its_label() -> None:
    rows = [5, 3, 59, 0, 17, 18, 2]
    batches = list(evaluation_batches(grey_set(rows), PLAIN, 3, CPU))
    assert torch.cat([labels for _, labels in batches]).tolist() == rows
    assert torch.cat([images[:, 0, 2, 2] for images, _ in batches]).round().tolist() == rows


def test_training_gives_every_image_once_shuffled_with_its_label() -> None:
    rows = list(range(3, 51))
    batches = list(training_batches(grey_set(rows), PLAIN, 6, generator(), CPU))
    labels = torch.cat([labels for _, labels, _ in batches])
    assert torch.cat([images[:, 0, 2, 2] for images, *_ in batches]).round().equal(labels.float())
    assert labels.tolist() != rows
    assert sorted(labels.tolist()) == rows


def test_second_views_are_other_crops_of_the_same_images_and_change_nothing_else() -> None:
    images = random_set(9)
    alone = list(training_batches(images, PLAIN, 4, generator(1), CPU))
    both = list(training_batches(images, PLAIN, 4, generator(1), CPU, second_views=generator(2)))
    pixels, by_hand = torch.from_numpy(images.images).permute(0, 3, 1, 2), generator(2)
    for expected, (first, labels, rows, second) in zip(alone, both, strict=True):
        assert all(map(torch.equal, expected, (first, labels, rows)))
        assert torch.equal(second, PLAIN.random_crop(pixels[rows], by_hand))
        assert not torch.equal(first, second)


def test_batches_are_channels_last_float() -> None:
    images = random_set(4)
    batches = [*evaluation_batches(images, PLAIN, 4, CPU)]
    batches += training_batches(images, PLAIN, 4, generator(), CPU)
    for pixels, labels, *_ in batches:
        assert (pixels.shape, pixels.dtype) == ((4, 3, 8, 8), torch.float32)
        assert pixels.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int64


def test_a_read_only_memory_map_is_read_without_a_warning(tmp_path: Path) -> None:
    images = random_set(9)
    np.save(tmp_path / "images.npy", images.images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    stored = ImageSet(mapped, images.rows, images.labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = list(training_batches(stored, PLAIN, 4, generator(), CPU))
        kept = list(evaluation_batches(stored, PLAIN, 9, CPU))
    assert len(batches) == 2
    assert torch.equal(kept[0][0], next(evaluation_batches(images, PLAIN, 9, CPU))[0])
