"""Batch normalisation over processes against torch's own on the whole batch, gradients included."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sharing import environment
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from pipeline.common.errors import UserError
from pipeline.training.distributed import ALONE, Processes
from pipeline.training.whole_batch import over_processes

SCRIPT = """
import sys
import torch
from torch import nn
from timm.layers.norm_act import BatchNormAct2d
from pipeline.sources.models import load_source_model
from pipeline.training.distributed import joined_processes
from pipeline.training.whole_batch import over_processes

torch.manual_seed(0)
networks = {
    "batch norm": nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)),
    "cumulative": nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=None)),
    "batch only": nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
    "not affine": nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)),
    "with activation": nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct2d(4, act_layer=nn.ReLU6)),
    "efficientnet-lite0": load_source_model("efficientnet-lite0", "published", 32).network(),
}
batches = torch.randn(3, 8, 3, 32, 32, dtype=torch.float64)
found = {}
with joined_processes() as processes:
    for name, network in networks.items():
        network.double().train()
        wrapped = over_processes(network, processes)
        for images in batches[:2]:
            output = wrapped(images[processes.share(8)])
            weight = torch.linspace(-1, 1, output.numel() * processes.count, dtype=torch.float64)
            weight = weight.view(-1, *output.shape[1:])[processes.share(8)]
            (weight * output.square()).mean().backward()
        whole = processes.gather(output.detach())
        network.eval()
        found[name] = {
            "output": whole,
            "evaluated": network(batches[2]).detach(),
            "gradients": {name: value.grad for name, value in network.named_parameters()},
            "state": network.state_dict(),
        }
    torch.save(found, f"{processes.count}-{processes.rank}.pt")
"""


@pytest.mark.slow
def test_it_is_batch_normalisation_of_the_whole_batch(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for launcher in ([], torchrun):
        result = subprocess.run(
            [sys.executable, *launcher, "script.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment(),
        )
        assert result.returncode == 0, result.stderr
    expected = torch.load(tmp_path / "1-0.pt")
    for rank in range(2):
        torch.testing.assert_close(
            torch.load(tmp_path / f"2-{rank}.pt"), expected, rtol=1e-7, atol=1e-9
        )


def test_alone_nothing_changes() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), BatchNormAct2d(3))
    kinds = [type(layer) for layer in network]
    assert over_processes(network, ALONE) is network
    assert [type(layer) for layer in network] == kinds


def test_an_unknown_kind_is_refused() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with pytest.raises(UserError, match="1 is a BatchNorm1d, which cannot normalise over several"):
        over_processes(network, Processes(0, 2))
