"""Pre-train on coloured garments, and write target images whose relationship is known.

A source category is a garment of Fashion-MNIST in one of four colours. Each target class is one
category, in another domain: with noise and background squares. So the true R is the identity. In
the near domain the source model recognises most images, in the far one few.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML
from torch import Tensor, nn

from pipeline.common.formats import write_json
from pipeline.common.tensors import write_tensors
from pipeline.datasets.batches import Preprocessing

GARMENTS = 10
COLOURS = np.array(
    [[1, 0.25, 0.2], [0.25, 0.9, 0.25], [0.3, 0.45, 1], [1, 0.9, 0.2]], dtype=np.float32
)
CATEGORIES = GARMENTS * len(COLOURS)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # those of load_source_model
FOLDER = Path("data/pretrain")


class Domain(BaseModel):
    """What target images have and source images have not, as render() takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    noise: float
    clutter: float


class Pretrain(BaseModel):
    """The values of pretrain.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: int
    raw: str
    model: str
    size: int
    source_pool: int
    source_images: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    smallest_crop: float
    train_per_class: int
    test_per_class: int
    domains: dict[str, Domain]


def read_idx(raw: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 28, 28] and garments int64 [N] in [0, 10) of `train` or `t10k`."""
    images = np.fromfile(raw / f"{part}-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
    return images, np.fromfile(raw / f"{part}-labels-idx1-ubyte", np.uint8)[8:].astype(np.int64)


def render(
    garments: np.ndarray,
    colours: np.ndarray,
    rng: np.random.Generator,
    size: int,
    noise: float = 0.0,
    clutter: float = 0.0,
) -> np.ndarray:
    """Put garments, coloured and shifted at random, on a dark background.

    Args:
        garments: uint8 [N, 28, 28].
        colours: [N], in [0, 4).
        size: at least 28, a multiple of 4.
        noise: standard deviation, of values in [0, 1].
        clutter: brightest of 4 x 4 background squares, in [0, 1].

    Returns:
        uint8 [N, size, size, 3].
    """
    count = len(garments)
    ink = np.zeros((count, size, size), np.float32)
    corners = rng.integers(0, size - 27, (count, 2))
    for canvas, garment, (top, left) in zip(ink, garments, corners, strict=True):
        canvas[top : top + 28, left : left + 28] = garment / 255
    tint = COLOURS[colours] + rng.normal(0, 0.1, (count, 3))
    background = rng.uniform(0, 0.15, (count, 1, 1, 3))
    squares = rng.uniform(0, clutter, (count, 4, 4, 3))
    side = size // 4
    background = background + squares.repeat(side, axis=1).repeat(side, axis=2)
    images = background * (1 - ink[..., None]) + ink[..., None] * tint[:, None, None]
    images += rng.normal(0, noise, images.shape)
    return (images.clip(0, 1) * 255).astype(np.uint8)


def source_set(
    garments: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Source images uint8 [N, size, size, 3], each in a random colour, and categories [N]."""
    colours = rng.integers(0, len(COLOURS), len(garments))
    return render(garments, colours, rng, size), labels * len(COLOURS) + colours


def target_set(
    garments: np.ndarray,
    labels: np.ndarray,
    per_class: int,
    size: int,
    domain: Domain,
    rng: np.random.Generator,
) -> np.ndarray:
    """Target images uint8 [40, per_class, size, size, 3], class by class."""
    classes = []
    for category in range(CATEGORIES):
        garment, colour = divmod(category, len(COLOURS))
        drawn = rng.choice(np.flatnonzero(labels == garment), per_class, replace=False)
        colours = np.full(per_class, colour)
        classes.append(render(garments[drawn], colours, rng, size, domain.noise, domain.clutter))
    return np.stack(classes)


def as_tensor(images: np.ndarray) -> Tensor:
    """uint8 [N, side, side, 3] to [N, 3, side, side]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def pretrain(images: np.ndarray, categories: np.ndarray, params: Pretrain) -> nn.Module:
    """A classifier of the categories [N] of images uint8 [N, size, size, 3]."""
    torch.manual_seed(params.seed)
    generator = torch.Generator().manual_seed(params.seed)
    model = torchvision.models.get_model(params.model, weights=None, num_classes=CATEGORIES)
    model.to(memory_format=torch.channels_last).train()
    rate, decay = params.learning_rate, params.weight_decay
    optimizer = torch.optim.SGD(
        model.parameters(), lr=rate, momentum=0.9, weight_decay=decay, nesterov=True
    )
    steps = len(images) // params.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=params.epochs * steps
    )
    preprocessing = Preprocessing(params.size, MEAN, STD, params.smallest_crop)
    for _ in range(params.epochs):
        order = torch.randperm(len(images), generator=generator).numpy()
        for batch in order[: steps * params.batch_size].reshape(steps, -1):
            pixels = preprocessing.random_crop(as_tensor(images[batch]), generator)
            loss = F.cross_entropy(model(pixels), torch.from_numpy(categories[batch]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.inference_mode()
def accuracy(model: nn.Module, images: np.ndarray, labels: np.ndarray, size: int) -> float:
    """Of the centre crops of images uint8 [N, size, size, 3]; in [0, 1]."""
    preprocessing = Preprocessing(size, MEAN, STD)
    parts = as_tensor(images).split(256)
    logits = torch.cat([model(preprocessing.center_crop(part)) for part in parts])
    return float((logits.argmax(dim=1).numpy() == labels).mean())


def write_images(splits: dict[str, np.ndarray], folder: Path) -> None:
    """folder/<split>/<class>/<number>.png of images uint8 [class, N, side, side, 3]."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".images-", dir=folder.parent))
    for split, classes in splits.items():
        for label, images in enumerate(classes):
            inside = aside / split / f"class-{label:02d}"
            inside.mkdir(parents=True)
            for number, image in enumerate(images):
                Image.fromarray(image).save(inside / f"{number:04d}.png")
    aside.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def main() -> None:
    torch.set_num_threads(1)  # the same bytes on any number of cores
    params = Pretrain(**YAML(typ="safe").load(Path("pretrain.yaml")))
    rng = np.random.default_rng(params.seed)
    garments, labels = read_idx(Path(params.raw), "train")
    held_out, held_out_labels = read_idx(Path(params.raw), "t10k")
    drawn = rng.permutation(params.source_pool)[: params.source_images]
    model = pretrain(*source_set(garments[drawn], labels[drawn], params.size, rng), params)
    source_test = source_set(held_out, held_out_labels, params.size, rng)
    accuracies = {"source": accuracy(model, *source_test, params.size)}
    true = np.repeat(np.arange(CATEGORIES), params.test_per_class)
    for name, domain in params.domains.items():
        train, test = (
            target_set(images, of, count, params.size, domain, rng)
            for images, of, count in (
                (
                    garments[params.source_pool :],
                    labels[params.source_pool :],
                    params.train_per_class,
                ),
                (held_out, held_out_labels, params.test_per_class),
            )
        )
        accuracies[name] = accuracy(model, test.reshape(-1, *test.shape[2:]), true, params.size)
        write_images({"train": train, "test": test}, FOLDER / name)
    write_tensors(FOLDER / "relationship.safetensors", {"relationship": torch.eye(CATEGORIES)})
    write_tensors(FOLDER / "weights.safetensors", model.state_dict())
    write_json(FOLDER / "source_accuracy.json", accuracies)


if __name__ == "__main__":
    main()
