"""Images per second of the project's extraction and training against a bare forward and step.

    python benchmarks/throughput.py [--input-size 64] [--batch-size 48] [--methods co-tuning bss]

The bare loops run the same model on tensors that are already in memory, preprocessed. Both sides
of a pair run in turn within each round; the median of the rounds' ratios is printed.

With --processes 2 (by default where there are two GPUs) torchrun does the same once more in two
processes, which train on parts of the same batches; not with --compile, since each call would
compile anew there. Their batch normalisation sees the whole batch; that of the bare loops sees its
part, so that the ratio holds what SyncBatchNorm costs.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from pipeline.common.errors import UserError
from pipeline.common.launch import is_launched
from pipeline.datasets.batches import ImageSet, evaluation_batches
from pipeline.params.methods import Peers
from pipeline.params.sections import Training
from pipeline.sources.models import load_source_model
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.data import Data
from pipeline.training.distributed import Processes, joined_processes
from pipeline.training.inference import predict
from pipeline.training.methods import SourceLabels, Start, new_model, start_method

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
    parser.add_argument(
        "--processes",
        type=int,
        default=max(1, min(2, torch.cuda.device_count())),
        help="of a second table",
    )
    options = parser.parse_args()
    with joined_processes() as processes:
        measure(options, processes)
    if options.processes > 1 and not options.compile and not is_launched():
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        subprocess.run([*torchrun, f"--nproc-per-node={options.processes}", *sys.argv], check=True)


def measure(options: argparse.Namespace, processes: Processes) -> None:
    """Print the table in each precision that the device computes in."""
    source = load_source_model(options.model, "published", options.input_size)
    device = processes.device("auto")
    automatic = resolve_compute(device, "auto")
    for precision in ("float32", *(["bfloat16"] if automatic.dtype == torch.bfloat16 else [])):
        compute = resolve_compute(device, precision, options.compile)
        if processes.is_first:
            what = f"{options.model}, {options.input_size} px, batch {options.batch_size}"
            print(f"{what}, {compute}, processes: {processes.count}")
        workload = Workload(options, source, compute, processes)
        report("extraction / bare forward", *workload.extraction(), workload)
        for method in options.methods:
            try:
                report(f"{method} / bare step", *workload.training(method), workload)
            except UserError as error:
                if processes.is_first:
                    print(f"{method}: {error}")


class Workload:
    """Images and what runs on them, in one of the processes."""

    def __init__(
        self,
        options: argparse.Namespace,
        source: SourceModel,
        compute: Compute,
        processes: Processes,
    ) -> None:
        self.source, self.compute, self.processes = source, compute, processes
        self.size, self.rounds = options.batch_size, options.rounds
        self.images = make_images(options.batches * self.size, options.input_size)
        self.validation = make_images(processes.count, options.input_size)
        share = processes.share(self.size)
        self.bare = [
            (source.preprocessing.center_crop(pixels.to(compute.device)), labels.to(compute.device))
            for pixels, labels in in_batches(self.images, self.size, share)
        ]

    def extraction(self) -> tuple[Call, Call]:
        """Extraction, and the network on tensors."""
        network = self.source.network().to(self.compute.device)
        images = self.images.part(self.processes.share(len(self.images)))
        size = self.size // self.processes.count

        def extract() -> None:
            batches = (images, self.source.preprocessing, size, self.compute.device)
            predict(network, evaluation_batches(*batches), self.compute)

        return extract, forward_only(network, self.bare, self.compute)

    def training(self, method: str) -> tuple[Call, Call]:
        """A method's epoch, and steps on tensors.

        Raises:
            UserError: the method cannot be trained in several processes.
        """
        categories = len(self.source.categories)
        uniform = torch.full((CLASSES, categories), 1 / categories, device=self.compute.device)

        def start() -> Start:
            return start_method(
                method,
                self.source,
                CLASSES,
                Data(self.images, self.validation, self.source.preprocessing),
                Training(epochs=1, batch_size=self.size),
                Peers(),
                SourceLabels(uniform, {}, 1.0),
                2.3,
                self.compute,
                0,
                self.processes,
            )

        # Several processes prepare a network once only, so that each call has one of its own.
        count = 1 if self.processes.count == 1 else self.rounds + 1
        starts = itertools.cycle([start() for _ in range(count)])
        bare = bare_steps(self.source, self.bare, self.compute, self.processes)
        return lambda: next(starts).train(), bare


def report(name: str, first: Call, second: Call, workload: Workload) -> None:
    """Print the median rates of both, the median and range of their ratio, and memory."""
    second()
    memory = gigabytes(first, workload.compute)
    times = [(seconds(first, workload), seconds(second, workload)) for _ in range(workload.rounds)]
    ratios = sorted(a / b for a, b in times)
    rates = [
        len(workload.images) / statistics.median(column) for column in zip(*times, strict=True)
    ]
    if not workload.processes.is_first:
        return
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


def seconds(call: Call, workload: Workload) -> float:
    """Wall time of a call in all processes, from the moment that they are all there."""

    def wait() -> None:
        if workload.processes.count > 1:
            dist.barrier()
        if workload.compute.device.type == "cuda":
            torch.cuda.synchronize()

    wait()
    began = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - began


def make_images(count: int, input_size: int) -> ImageSet:
    side = input_size * 9 // 8
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return ImageSet(pixels, np.arange(count), np.arange(count) % CLASSES)


def in_batches(
    images: ImageSet, size: int, share: slice
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A process's share of each batch."""
    return [images[list(range(n, n + size)[share])] for n in range(0, len(images), size)]


def forward_only(network: torch.nn.Module, batches: list, compute: Compute) -> Call:
    @torch.inference_mode()
    def run() -> None:
        network.eval()
        for images, _ in batches:
            with compute.autocast():
                network(images)

    return run


def bare_steps(source: SourceModel, batches: list, compute: Compute, processes: Processes) -> Call:
    """Forward, loss, backward and optimizer step, with nothing around them."""
    model = new_model(source, CLASSES, 0).to(compute.device)
    network: torch.nn.Module = model.deploy().to(memory_format=torch.channels_last).train()
    if processes.count > 1:
        network = DistributedDataParallel(network)
    network = compute.ready(network)
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
