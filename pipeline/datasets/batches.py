"""Batches of network input, cut from the memory-mapped images of prepare-data."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

SMALLEST_CROP = 0.08
CROP_ASPECT = (3 / 4, 4 / 3)
CROP_ATTEMPTS = 10
LOADER_PROCESSES = 2
CROP_FRACTION = 0.875  # 224 of 256
LARGER = 1.1


@dataclass(frozen=True)
class ImageSet(Dataset[tuple[Tensor, Tensor]]):
    """Some rows of the stored images, with their labels.

    Attributes:
        images: all stored images, uint8 [N, side, side, 3], memory-mapped.
        rows: which of them belong to this set, int64 [M].
        labels: of these rows, int64 [M].
    """

    images: np.ndarray
    rows: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, places: slice | Tensor) -> "ImageSet":
        """Some of these images, in their order or that of the indices."""
        return ImageSet(self.images, self.rows[places], self.labels[places])

    def followed_by(self, other: "ImageSet") -> "ImageSet":
        """These images, then other ones of the same stored images."""
        both = ((self.rows, other.rows), (self.labels, other.labels))
        return ImageSet(self.images, *map(np.concatenate, both))

    def __getitem__(self, index: list[int]) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(self.images[self.rows[index]])
        return images.permute(0, 3, 1, 2), torch.from_numpy(self.labels[index])


@dataclass(frozen=True)
class Preprocessing:
    """From stored bytes to network input.

    Attributes:
        input_size: side of the crop that enters the network, in pixels.
        mean, std: per channel, of images in [0, 1].
        smallest_crop: share of an image's area in (0, 1] that a random crop covers at least.
        crop_fraction: the centre crop's side as a share of the image's, in (0, 1], as the source
            model is published.
    """

    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    smallest_crop: float = SMALLEST_CROP
    crop_fraction: float = CROP_FRACTION

    def fitted_side(self, side: int) -> int:
        """Side in pixels of the image that crops are cut from, of one stored by `side`.

        One that is by more than a tenth larger than the centre crop asks for is made as small: of
        it the crop would show the middle alone.
        """
        wanted = round(self.input_size / self.crop_fraction)
        return side if side <= LARGER * wanted else wanted

    def fitted(self, images: Tensor) -> Tensor:
        """Square images [N, 3, side, side], resized to fitted_side where they are larger."""
        side = self.fitted_side(images.shape[-1])
        if side == images.shape[-1]:
            return images
        return F.interpolate(images.float(), (side, side), mode="bilinear", antialias=True)

    def normalize(self, images: Tensor) -> Tensor:
        """Bytes in [0, 255], [N, 3, H, W], to normalised channels-last float32."""
        mean = torch.tensor(self.mean, device=images.device)[:, None, None] * 255
        std = torch.tensor(self.std, device=images.device)[:, None, None] * 255
        return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)

    def center_crop(self, images: Tensor) -> Tensor:
        """The middle input_size x input_size pixels of what is fitted, normalised."""
        images = self.fitted(images)
        margin = (images.shape[-1] - self.input_size) // 2
        inside = slice(margin, margin + self.input_size)
        return self.normalize(images[..., inside, inside])

    def crops(self, images: Tensor, count: int) -> Iterator[Tensor]:
        """The centre crop, or ten crops of input_size x input_size pixels, normalised: corners
        and centre, then the same of the mirrored images.

        Source: torchvision.transforms.TenCrop.
        """
        if count == 1:
            yield self.center_crop(images)
            return
        images = self.fitted(images)
        last = images.shape[-1] - self.input_size
        for view in images, images.flip(-1):
            for top, left in itertools.product((0, last), repeat=2):
                inside = view[..., top : top + self.input_size, left : left + self.input_size]
                yield self.normalize(inside)
            yield self.center_crop(view)

    def random_crop(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A random resized crop and flip of its own for each image, normalised."""
        return self.crop(images, *self.draw_crops(len(images), generator))

    def draw_crops(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Boxes [count, 4] and flips [count] as `crop` takes them, a random one an image."""
        boxes = random_boxes(count, generator, self.smallest_crop)
        return boxes, torch.rand(count, generator=generator) < 0.5

    def crop(self, images: Tensor, boxes: Tensor, flips: Tensor) -> Tensor:
        """The boxes of the images, flipped where it is said so, at the input size, normalised."""
        return self.normalize(resample(self.fitted(images), boxes, flips, self.input_size))


def random_boxes(count: int, generator: torch.Generator, smallest: float = SMALLEST_CROP) -> Tensor:
    """Boxes [count, 4] of RandomResizedCrop: left, top, width, height as fractions of a square.

    Area uniform in [smallest, 1], aspect log-uniform in [3/4, 4/3], redrawn up to 10 times until it
    fits, else the whole image.

    Source: torchvision.transforms.RandomResizedCrop, with its defaults.
    """
    area = torch.empty(count, CROP_ATTEMPTS).uniform_(smallest, 1, generator=generator)
    low, high = np.log(CROP_ASPECT)
    aspect = torch.empty(count, CROP_ATTEMPTS).uniform_(low, high, generator=generator).exp()
    size = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=-1)
    fits = (size <= 1).all(dim=-1)
    first = fits.int().argmax(dim=1)
    size = size[torch.arange(count), first].where(fits.any(dim=1)[:, None], 1.0)
    corner = torch.rand(count, 2, generator=generator) * (1 - size)
    return torch.cat([corner, size], dim=1)


def resample(images: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """Cut a box out of each image and resize it to size x size, mirrored where flips is True.

    Args:
        images: uint8 or float [N, C, H, W].
        boxes: [N, 4], left, top, width, height as fractions of the image.
        flips: bool [N].

    Returns:
        Float32 [N, C, size, size] in the range of the images, bilinear.
    """
    left, top, width, height = boxes.unbind(dim=1)
    matrix = torch.zeros(len(boxes), 2, 3)
    matrix[:, 0, 0] = width.where(~flips, -width)
    matrix[:, 0, 2] = 2 * left + width - 1
    matrix[:, 1, 1] = height
    matrix[:, 1, 2] = 2 * top + height - 1
    shape = [len(images), images.shape[1], size, size]
    grid = F.affine_grid(matrix.to(images.device), shape, align_corners=False)
    return F.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def training_batches(
    images: ImageSet,
    preprocessing: Preprocessing,
    batch_size: int,
    generator: torch.Generator,
    device: torch.device,
    share: Callable[[int], slice] = lambda length: slice(None),
    second_views: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, ...]]:
    """Images, labels and rows of one shuffled, augmented epoch; then other crops, where asked for.

    A last partial batch is dropped unless it is the only one.

    The generator (on the CPU) decides order, crops and flips, so that every device sees the
    same images. `share` gives the places of a batch of that length that are loaded here.
    `second_views` decides other crops and flips of the same images; the first are the same with it
    and without.
    """
    # The whole order is drawn before the first crop: a loader that runs ahead draws nothing.
    order = torch.randperm(len(images), generator=generator).tolist()
    full = len(images) >= batch_size
    batches = list(BatchSampler(order, batch_size, full))
    places = [share(len(batch)) for batch in batches]
    parts = [batch[here] for batch, here in zip(batches, places, strict=True)]
    loaded = _load(images, parts, device)
    for batch, here, (pixels, labels) in zip(batches, places, loaded, strict=True):
        boxes, flips = preprocessing.draw_crops(len(batch), generator)
        rows = torch.from_numpy(images.rows[batch[here]]).to(device, non_blocking=True)
        cropped = preprocessing.crop(pixels, boxes[here], flips[here])
        if second_views is None:
            yield cropped, labels, rows
            continue
        boxes, flips = preprocessing.draw_crops(len(batch), second_views)
        yield cropped, labels, rows, preprocessing.crop(pixels, boxes[here], flips[here])


def evaluation_batches(
    images: ImageSet, preprocessing: Preprocessing, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, in order, as its centre crop."""
    for pixels, labels in stored_batches(images, batch_size, device):
        yield preprocessing.center_crop(pixels), labels


def stored_batches(
    images: ImageSet, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, in order, as it is stored: uint8 [N, 3, side, side]."""
    sampler = BatchSampler(range(len(images)), batch_size, drop_last=False)
    yield from _load(images, sampler, device)


def _load(
    images: ImageSet, sampler: Iterable[list[int]], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    on_gpu = device.type == "cuda"
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        images,
        sampler=sampler,
        batch_size=None,
        num_workers=LOADER_PROCESSES if on_gpu else 0,
        pin_memory=on_gpu,
        generator=torch.Generator(),
    )
    for pixels, labels in loader:
        yield pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
