"""Images per second of the project's extraction and training against a bare forward and step.

    python benchmarks/throughput.py [--input-size 64] [--batch-size 48] [--methods co-tuning bss]

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

from pipeline.datasets.batches import ImageSet, evaluation_batches
from pipeline.params.methods import Peers
from pipeline.params.sections import Training
from pipeline.sources.models import load_source_model
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.data import Data
from pipeline.training.inference import predict
from pipeline.training.methods import SourceLabels, new_model, start_method

CLASSES = 10

Call = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--methods", nargs="+", default=["vanilla", "co-tuning"])
    parser.add_argument("--compile", action="store_true", help="both sides of training")
    options = parser.parse_args()
    source = load_source_model(options.model, "published", options.input_size)
    automatic = resolve_compute("auto", "auto")
    for precision in ("float32", *(["bfloat16"] if automatic.dtype == torch.bfloat16 else [])):
        compute = resolve_compute("auto", precision, options.compile)
        print(f"{options.model}, {options.input_size} px, batch {options.batch_size}, {compute}")
        for name, (first, second) in pairs(options, source, compute).items():
            report(name, first, second, options, compute)


def pairs(
    options: argparse.Namespace, source: SourceModel, compute: Compute
) -> dict[str, tuple[Call, Call]]:
    """What is compared with what: extraction and each method with a bare loop over tensors."""
    size, classes = options.batch_size, CLASSES
    images = make_images(options.batches * size, options.input_size)
    data = Data(images, make_images(1, options.input_size), source.preprocessing)
    network = source.network().to(compute.device)
    bare = [
        (source.preprocessing.center_crop(pixels.to(compute.device)), labels.to(compute.device))
        for pixels, labels in in_batches(images, size)
    ]
    uniform = torch.ones(classes, len(source.categories), device=compute.device)
    labels = SourceLabels(uniform / len(source.categories), {}, 1.0)

    def extraction() -> None:
        predict(
            network,
            evaluation_batches(images, source.preprocessing, size, compute.device),
            compute,
        )

    def fine_tuning(method: str) -> Call:
        training = Training(epochs=1, batch_size=size)
        return start_method(
            *(method, source, classes, data, training, Peers(), labels, 2.3, compute), seed=0
        ).train

    found: dict[str, tuple[Call, Call]] = {
        "extraction / bare forward": (extraction, forward_only(network, bare, compute))
    }
    for method in options.methods:
        found[f"{method} / bare step"] = fine_tuning(method), bare_steps(source, bare, compute)
    return found


def report(
    name: str,
    first: Call,
    second: Call,
    options: argparse.Namespace,
    compute: Compute,
) -> None:
    """Print the median rates of both, the median and range of their ratio, and memory."""
    second()
    memory = gigabytes(first, compute)
    times = [(seconds(first, compute), seconds(second, compute)) for _ in range(options.rounds)]
    images = options.batches * options.batch_size
    ratios = sorted(a / b for a, b in times)
    rates = [images / statistics.median(column) for column in zip(*times, strict=True)]
    print(
        f"{name:30} {rates[0]:8.0f} / {rates[1]:.0f} images/s, time ratio "
        f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        f"{memory}"
    )


def gigabytes(call: Call, compute: Compute) -> str:
    """Run once; the most that a GPU had allocated meanwhile."""
    if compute.device.type != "cuda":
        call()
        return ""
    torch.cuda.reset_peak_memory_stats()
    call()
    return f", {torch.cuda.max_memory_allocated() / 1e9:.2f} GB"


def seconds(call: Call, compute: Compute) -> float:
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


def forward_only(network: torch.nn.Module, batches: list, compute: Compute) -> Call:
    @torch.inference_mode()
    def run() -> None:
        network.eval()
        for images, _ in batches:
            with compute.autocast():
                network(images)

    return run


def bare_steps(source: SourceModel, batches: list, compute: Compute) -> Call:
    """Forward, loss, backward and optimizer step, with nothing around them."""
    model = new_model(source, CLASSES, 0).to(compute.device)
    network = compute.ready(model.deploy().to(memory_format=torch.channels_last).train())
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
