"""Images per second of the project's extraction and training against a bare forward and step.

    python benchmarks/throughput.py [--input-size 64] [--batch-size 48] [--rounds 7]

The bare loops run the same model on tensors that are already in memory, preprocessed. Both sides
of a pair run in turn within each round; the median of the rounds' ratios is printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from pipeline.cotuning.objectives import co_tuning, compose, vanilla
from pipeline.datasets.batches import ImageSet, evaluation_batches
from pipeline.params.sections import Training
from pipeline.sources.models import load_source_model
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.data import Data
from pipeline.training.fit import fit
from pipeline.training.inference import predict
from pipeline.training.methods import new_model

CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    compute = resolve_compute("auto", "auto")
    source = load_source_model(options.model, "published", options.input_size)
    images = make_images(options.batches * options.batch_size, options.input_size)
    training = Training(epochs=1, batch_size=options.batch_size)
    relationship = torch.full((CLASSES, len(source.categories)), 1 / len(source.categories))
    both = compose(co_tuning(relationship.to(compute.device), 2.3))
    data = Data(images, make_images(1, options.input_size), source.preprocessing)
    network = source.network().to(compute.device)

    def extraction() -> None:
        batches = evaluation_batches(
            images, source.preprocessing, options.batch_size, compute.device
        )
        predict(network, batches, compute)

    def fine_tuning(objective: object) -> Callable[[], None]:
        model = new_model(source, CLASSES, 0)
        return lambda: fit(model, objective, data, training, compute, seed=0)

    bare = [
        (source.preprocessing.center_crop(pixels.to(compute.device)), labels.to(compute.device))
        for pixels, labels in in_batches(images, options.batch_size)
    ]
    pairs = {
        "extraction / bare forward": (extraction, lambda: forward_only(network, bare, compute)),
        "vanilla training / bare step": (fine_tuning(vanilla), bare_steps(source, bare, compute)),
        "co-tuning / vanilla training": (fine_tuning(both), fine_tuning(vanilla)),
    }
    print(f"{options.model}, {options.input_size} px, batch {options.batch_size}, {compute}")
    for name, (first, second) in pairs.items():
        report(name, first, second, len(images), options.rounds, compute)


def report(
    name: str,
    first: Callable[[], None],
    second: Callable[[], None],
    images: int,
    rounds: int,
    compute: Compute,
) -> None:
    """Print the median rates of both and the median ratio of their times, with its range."""
    first(), second()
    times = [(seconds(first, compute), seconds(second, compute)) for _ in range(rounds)]
    ratios = sorted(a / b for a, b in times)
    rates = [images / statistics.median(column) for column in zip(*times, strict=True)]
    print(
        f"{name:30} {rates[0]:8.0f} / {rates[1]:.0f} images/s, time ratio "
        f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
    )


def seconds(call: Callable[[], None], compute: Compute) -> float:
    began = time.perf_counter()
    call()
    if compute.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def make_images(count: int, input_size: int) -> ImageSet:
    side = input_size * 9 // 8
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return ImageSet(pixels, np.arange(count), np.arange(count) % CLASSES)


def in_batches(images: ImageSet, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [images[list(range(n, n + size))] for n in range(0, len(images), size)]


@torch.inference_mode()
def forward_only(network: torch.nn.Module, batches: list, compute: Compute) -> None:
    network.eval()
    for images, _ in batches:
        with compute.autocast():
            network(images)


def bare_steps(source: SourceModel, batches: list, compute: Compute) -> Callable[[], None]:
    """Forward, loss, backward and optimizer step, with nothing around them."""
    model = new_model(source, CLASSES, 0).to(compute.device)
    network = model.deploy().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)

    def run() -> None:
        for images, labels in batches:
            with compute.autocast():
                loss = F.cross_entropy(network(images).float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


if __name__ == "__main__":
    main()
