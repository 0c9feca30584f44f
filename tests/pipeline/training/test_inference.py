"""The sum over crops, against torchvision's TenCrop on images as Pillow opens them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import Compose, Lambda, Normalize, TenCrop, ToTensor

from pipeline.datasets.batches import ImageSet, Preprocessing, evaluation_batches
from pipeline.training.compute import Compute
from pipeline.training.inference import predict, predict_crops

CPU = Compute(torch.device("cpu"), torch.float32)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGES, CLASSES = 7, 5


class Recorder(nn.Module):
    """A small network that sees where things are; remembers the sizes of its inputs."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES)
        )
        self.layers(torch.zeros(1, 3, size, size))
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(tuple(images.shape))
        return self.layers(images)


def stored(side: int) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (9, side, side, 3), dtype=np.uint8)
    rows = np.array([3, 0, 8, 1, 7, 2, 5])
    return ImageSet(pixels, rows, np.arange(IMAGES))


@pytest.mark.parametrize(("side", "size"), [(256, 224), (36, 32), (32, 32)])
def test_ten_crops_are_torchvisions_on_pillow_images_with_logits_summed(
    side: int, size: int
) -> None:
    images, network = stored(side), Recorder(size)
    one_by_one = Compose([ToTensor(), Normalize(MEAN, STD)])
    transform = Compose(
        [TenCrop(size), Lambda(lambda crops: torch.stack([one_by_one(crop) for crop in crops]))]
    )
    with torch.no_grad():
        reference = torch.stack(
            [
                network(transform(Image.fromarray(images.images[row]))).sum(dim=0)
                for row in images.rows
            ]
        )
    found = predict_crops(network, images, Preprocessing(size, MEAN, STD), 10, 3, CPU)
    torch.testing.assert_close(found, reference, atol=1e-4, rtol=1e-4)


def test_one_crop_is_the_centre_crop() -> None:
    images, network, preprocessing = stored(40), Recorder(32), Preprocessing(32, MEAN, STD)
    batches = evaluation_batches(images, preprocessing, 3, CPU.device)
    expected, _ = predict(network, batches, CPU)
    assert torch.equal(predict_crops(network, images, preprocessing, 1, 3, CPU), expected)
    ten = predict_crops(network, images, preprocessing, 10, 3, CPU)
    assert not torch.allclose(ten / 10, expected)


def test_an_image_and_its_mirror_image_have_the_same_ten_crops() -> None:
    images, network, preprocessing = stored(40), Recorder(32), Preprocessing(32, MEAN, STD)
    mirrored = ImageSet(images.images[:, :, ::-1].copy(), images.rows, images.labels)
    first, second = (
        predict_crops(network, one, preprocessing, 10, 4, CPU) for one in (images, mirrored)
    )
    torch.testing.assert_close(first, second)


def test_no_pass_is_larger_than_a_batch_and_progress_counts_images() -> None:
    seen: list[int] = []
    network = Recorder(32)
    network.sizes.clear()
    predict_crops(network, stored(36), Preprocessing(32, MEAN, STD), 10, 3, CPU, seen.append)
    assert network.sizes == [(3, 3, 32, 32)] * 20 + [(1, 3, 32, 32)] * 10
    assert seen == [3, 3, 1]
    assert not network.training


def test_sums_are_float32_whatever_the_network_computes_in() -> None:
    mixed = Compute(torch.device("cpu"), torch.bfloat16)
    images, network, preprocessing = stored(36), Recorder(32), Preprocessing(32, MEAN, STD)
    found = predict_crops(network, images, preprocessing, 10, 3, mixed)
    exact = predict_crops(network, images, preprocessing, 10, 3, CPU)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, atol=0.2, rtol=0.05)
