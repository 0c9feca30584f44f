"""What is computed alone, in the test's own process, and by two processes that torchrun starts.

Run as a script by torchrun, each process saves what it found as <rank>.pt.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from pipeline.artifacts import SplitLogits
from pipeline.datasets.batches import ImageSet
from pipeline.params.methods import Peers
from pipeline.params.sections import Training
from pipeline.sources.models import load_source_model
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import Compute
from pipeline.training.data import Data
from pipeline.training.distributed import Processes, joined_processes
from pipeline.training.fit import Record, fit
from pipeline.training.methods import SourceLabels, compose_method, new_model
from pipeline.training.whole_batch import over_processes

METHODS = ("vanilla", "co-tuning", "posterior-co-tuning", "l2-sp")
CPU = Compute(torch.device("cpu"), torch.float32)

Found = dict[str, Any]


class StoppedError(Exception):
    """Ends a training after its second epoch."""


def everything(processes: Processes, folder: Path) -> Found:
    """What one of the processes finds; `folder` is for checkpoints."""
    found: Found = {"shared": shared(processes), "normalised": normalised(processes)}
    for method in METHODS:
        found[method] = train(processes, method, 0.0, folder / f"{method}.checkpoint")
    found["whole"] = train(processes, "co-tuning", 0.2, folder / "whole.checkpoint")

    def interrupt(record: Record) -> None:
        if record["epoch"] == 2:
            raise StoppedError

    try:
        train(processes, "co-tuning", 0.2, folder / "interrupted.checkpoint", interrupt)
    except StoppedError:
        found["gone on"] = train(processes, "co-tuning", 0.2, folder / "interrupted.checkpoint")
    return found


def shared(processes: Processes) -> Found:
    mine = torch.arange(7)[processes.share(7)]
    return {
        "part": mine,
        "all": processes.gather(mine),
        "mean": processes.mean(torch.tensor([1.0, 10.0]) * (1 + processes.rank)),
        "first": processes.from_first(lambda: torch.tensor(processes.rank)),
        "is first": processes.is_first,
    }


def train(
    processes: Processes,
    method: str,
    dropout: float,
    checkpoint: Path,
    on_epoch: Callable[[Record], None] = lambda record: None,
) -> Found:
    """Three epochs of a small network on 20 images, in batches of 8."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8, momentum=None), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)),
    )
    source = SourceModel(backbone, nn.Linear(8, 5), tuple("abcde"), (0.4,) * 3, (0.3,) * 3, 12)
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 255, (27, 16, 16, 3), generator=generator, dtype=torch.uint8)
    images, rows = pixels.numpy(), torch.arange(27).numpy()
    data = Data(
        ImageSet(images, rows[:20], rows[:20] % 3),
        ImageSet(images, rows[20:], rows[20:] % 3),
        source.preprocessing,
    )
    relationship = torch.softmax(torch.randn(3, 5, generator=generator), dim=1)
    model = new_model(source, 3, 0)
    training = Training(epochs=3, batch_size=8, learning_rate=0.02, max_gradient_norm=1.0)
    logits = {
        name: SplitLogits(
            torch.randn(len(images), 5, generator=generator),
            torch.from_numpy(images.labels),
            torch.from_numpy(images.rows),
        )
        for name, images in (("train", data.train), ("validation", data.validation))
    }
    labels = SourceLabels(relationship, logits, 1.5)
    objective, training = compose_method(method, model, training, Peers(), labels, 2.3, processes)
    passed: list[int] = []
    result = fit(
        model, objective, data, training, CPU, 3, on_epoch, passed.append, checkpoint, processes
    )
    return {
        "history": result.history,
        "state": result.state,
        "best": result.kept_epoch,
        "passed": sum(passed),
    }


def networks() -> dict[str, nn.Module]:
    """With every kind of batch normalisation that several processes take."""

    def with_norm(norm: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 1), norm)

    return {
        "batch norm": with_norm(nn.BatchNorm2d(4)),
        "cumulative": with_norm(nn.BatchNorm2d(4, momentum=None)),
        "batch only": with_norm(nn.BatchNorm2d(4, track_running_stats=False)),
        "not affine": with_norm(nn.BatchNorm2d(4, affine=False)),
        "with activation": with_norm(BatchNormAct2d(4, act_layer=nn.ReLU6)),
        "efficientnet-lite0": load_source_model("efficientnet-lite0", "published", 32).network(),
    }


def normalised(processes: Processes) -> Found:
    """Outputs, gradients and state of each network after two batches of 8, in float64."""
    torch.manual_seed(0)
    found: Found = {}
    kinds = networks()
    batches = torch.randn(3, 8, 3, 32, 32, dtype=torch.float64)
    for name, network in kinds.items():
        network.double().train()
        wrapped = over_processes(network, processes)
        for images in batches[:2]:
            output = wrapped(images[processes.share(8)])
            weight = torch.linspace(-1, 1, output.numel() * processes.count, dtype=torch.float64)
            weight = weight.view(-1, *output.shape[1:])[processes.share(8)]
            (weight * output.square()).mean().backward()
        network.eval()
        gradients: dict[str, Tensor | None] = {
            parameter: value.grad for parameter, value in network.named_parameters()
        }
        found[name] = {
            "output": processes.gather(output.detach()),
            "evaluated": network(batches[2]).detach(),
            "gradients": gradients,
            "state": network.state_dict(),
        }
    return found


if __name__ == "__main__":
    with joined_processes() as joined:
        torch.save(everything(joined, Path()), f"{joined.rank}.pt")
