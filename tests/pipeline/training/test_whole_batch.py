"""Which networks several processes can normalise, and by what; that they do on CPUs is in
test_two_processes.
"""

import copy

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct
from torch import nn

from pipeline.common.errors import UserError
from pipeline.training.distributed import ALONE, Processes
from pipeline.training.whole_batch import (
    WholeBatchNorm,
    normalised_by_whole_batches,
    over_processes,
)


def new_network() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.BatchNorm2d(4, momentum=0.2),
        nn.Sequential(BatchNormAct2d(4, act_layer=nn.ReLU6)),
    )
    network(torch.randn(5, 3, 2, 2))
    return network


def test_alone_nothing_changes() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), BatchNormAct2d(3))
    kinds = [type(layer) for layer in network]
    assert over_processes(network, ALONE) is network
    assert [type(layer) for layer in network] == kinds


def test_an_unknown_kind_is_refused() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with pytest.raises(UserError, match="1 is a BatchNorm1d, which cannot normalise over several"):
        over_processes(network, Processes(0, 2))


@pytest.mark.parametrize(
    ("device", "kinds"),
    [
        ("cpu", [WholeBatchNorm, WholeBatchNorm]),
        ("cuda:1", [nn.SyncBatchNorm, SyncBatchNormAct]),
    ],
)
def test_the_device_decides_what_normalises(device: str, kinds: list[type]) -> None:
    """In evaluation, which every layer computes on a CPU, it is the network that it was."""
    network = new_network()
    before, parameters = copy.deepcopy(network).eval(), dict(network.named_parameters())
    found = normalised_by_whole_batches(network, torch.device(device))
    assert found is network
    assert [type(network[1]), type(network[2][0])] == kinds
    assert network[1].momentum == 0.2
    assert network[1].training
    assert all(value is parameters[name] for name, value in network.named_parameters())
    torch.testing.assert_close(network.state_dict(), before.state_dict(), rtol=0, atol=0)
    images = 9 * torch.randn(6, 3, 2, 2)
    torch.testing.assert_close(network.eval()(images), before(images))
