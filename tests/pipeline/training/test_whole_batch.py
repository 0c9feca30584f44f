"""Which networks several processes can normalise; that they do is in test_two_processes."""

import pytest
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from pipeline.common.errors import UserError
from pipeline.training.distributed import ALONE, Processes
from pipeline.training.whole_batch import over_processes


def test_alone_nothing_changes() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), BatchNormAct2d(3))
    kinds = [type(layer) for layer in network]
    assert over_processes(network, ALONE) is network
    assert [type(layer) for layer in network] == kinds


def test_an_unknown_kind_is_refused() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with pytest.raises(UserError, match="1 is a BatchNorm1d, which cannot normalise over several"):
        over_processes(network, Processes(0, 2))
