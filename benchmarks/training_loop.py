"""From a folder of JPEGs to a trained model, beside a loop as Transfer-Learning-Library has one.

    python benchmarks/training_loop.py [--sizes 64 128 224] [--rounds 3] [--steps 50]

Both sides begin with the same JPEGs of 500 x 375 and the same source model, learn the direct
relationship, train Co-Tuning for the same steps and validate once. This project's side prepares the
images first; the other one decodes them anew for each batch in two loader processes, as
github.com/thuml/Transfer-Learning-Library does in examples/task_adaptation/image_classification/
co_tuning.py. Each run is a process of its own; the time counts from when its imports are done.
"""

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from store_images import draw_images
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets.folder import default_loader
from torchvision.transforms import v2

from pipeline.cotuning.relationship import direct_relationship
from pipeline.datasets.batches import ImageSet, evaluation_batches
from pipeline.datasets.listing import ImageFolderReader
from pipeline.datasets.store.store_images import store_images
from pipeline.params.methods import CO_TUNING, Peers
from pipeline.params.sections import Training
from pipeline.sources.models import load_source_model
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import resolve_compute
from pipeline.training.data import Data
from pipeline.training.inference import predict
from pipeline.training.methods import SourceLabels, start_method

CLASSES, WEIGHT, RATE, BATCH = 10, 2.3, 0.003, 48
TRAINING, VALIDATION = 480, 48  # images
LOADERS = 2

Side = Callable[[Path, list[str], SourceModel, int], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224], help="pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50, help="of 48 images")
    given = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # of the processes to come, as in cot
    print("| input | ours, s | the other, s | ratio of wall times |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        names = draw_images(folder, TRAINING + VALIDATION)
        for size in given.sizes:
            times = [
                [measured(side, folder, names, size, given.steps) for side in (prepared, decoded)]
                for _ in range(given.rounds)
            ]
            ratios = sorted(ours / theirs for ours, theirs in times)
            ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
            print(
                f"| {size} px | {ours:.1f} | {theirs:.1f} | {statistics.median(ratios):.2f} "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
                flush=True,
            )


def measured(side: Side, folder: Path, names: list[str], size: int, steps: int) -> float:
    """Wall seconds, in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(timed, side, folder, names, size, steps).result()


def timed(side: Side, folder: Path, names: list[str], size: int, steps: int) -> float:
    source = load_source_model("efficientnet-lite0", "published", size)
    begin = time.perf_counter()
    side(folder, names, source, steps)
    return time.perf_counter() - begin


def labels_of(names: list[str]) -> np.ndarray:
    return np.arange(len(names)) % CLASSES


def prepared(folder: Path, names: list[str], source: SourceModel, steps: int) -> None:
    """This project's way: each image is decoded once."""
    with tempfile.TemporaryDirectory() as work:
        stored = Path(work) / "images.npy"
        size = round(source.input_size * 8 / 7)
        store_images(
            names, ImageFolderReader(folder), stored, size, "bilinear",
            work=Path(work), least_size=8, on_bad_image="stop", workers=LOADERS,
            on_progress=lambda done: None,
        )  # fmt: skip
        every = ImageSet(np.load(stored, mmap_mode="r"), np.arange(len(names)), labels_of(names))
        first, last = every.part(slice(TRAINING)), every.part(slice(TRAINING, None))
        compute = resolve_compute("auto", "auto")
        network = source.network().to(compute.device)
        batches = evaluation_batches(first, source.preprocessing, 128, compute.device)
        logits, labels = predict(network, batches, compute)
        relationship = direct_relationship(logits.double().softmax(dim=1), labels, CLASSES)
        training = Training(
            epochs=None, iterations=steps, iterations_per_epoch=steps, batch_size=BATCH
        )
        taught = SourceLabels(relationship.to(compute.device), {}, 1.0)
        data = Data(first, last, source.preprocessing)
        start_method(
            *(CO_TUNING, source, CLASSES, data, training, Peers(), taught, WEIGHT, compute), seed=0
        ).train()


class Files(Dataset[tuple[Tensor, int]]):
    """Images decoded when they are asked for."""

    def __init__(self, folder: Path, names: list[str], transform: nn.Module) -> None:
        self.paths = [folder / name for name in names]
        self.labels, self.transform = labels_of(names), transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(default_loader(str(self.paths[place]))), int(self.labels[place])


def decoded(folder: Path, names: list[str], source: SourceModel, steps: int) -> None:
    """The other way: each image is decoded whenever it is needed, by the loader's processes."""
    size, crop = source.input_size, source.preprocessing
    ending = [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(crop.mean, crop.std),
    ]
    random = v2.Compose(
        [v2.RandomResizedCrop(size, (0.2, 1.0)), v2.RandomHorizontalFlip(), *ending]
    )
    centre = v2.Compose([v2.Resize(round(size * 8 / 7)), v2.CenterCrop(size), *ending])

    def loader(some: list[str], transform: nn.Module, shuffled: bool = False) -> DataLoader:
        files = Files(folder, some, transform)
        return DataLoader(files, BATCH, num_workers=LOADERS, shuffle=shuffled, drop_last=shuffled)

    training, validation = names[:TRAINING], names[TRAINING:]
    backbone, source_head = copy.deepcopy(source.backbone), copy.deepcopy(source.head)
    target_head = nn.Linear(source.feature_size, CLASSES)
    relationship = averaged(nn.Sequential(backbone, source_head), loader(training, centre))
    optimizer = torch.optim.SGD(
        [*backbone.parameters(), *target_head.parameters()],
        RATE,
        momentum=0.9,
        weight_decay=5e-4,
        nesterov=True,
    )
    backbone.train()
    batches = without_end(loader(training, random, shuffled=True))
    loss_sum = correct = 0.0
    for _ in range(steps):
        images, labels = next(batches)
        features = backbone(images)
        target_logits = target_head(features)
        source_loss = F.cross_entropy(source_head(features), relationship[labels])
        loss = F.cross_entropy(target_logits, labels) + WEIGHT * source_loss
        loss_sum += loss.item()
        correct += (target_logits.argmax(dim=1) == labels).float().sum().item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    backbone.eval()
    with torch.no_grad():
        for images, labels in loader(validation, centre):
            correct += (target_head(backbone(images)).argmax(dim=1) == labels).sum().item()


@torch.no_grad()
def averaged(network: nn.Module, batches: DataLoader) -> Tensor:
    """R [target, source]: the mean prediction of each class."""
    network.eval()
    found = [(network(images).softmax(dim=1), labels) for images, labels in batches]
    predictions, labels = (torch.cat(list(part)) for part in zip(*found, strict=True))
    return torch.stack([predictions[labels == label].mean(dim=0) for label in range(CLASSES)])


def without_end(batches: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from batches


if __name__ == "__main__":
    main()
