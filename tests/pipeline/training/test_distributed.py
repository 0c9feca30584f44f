"""Who gets what of the work of several processes; see test_two_processes for the rest."""

import pytest
import torch

from pipeline.common.errors import UserError
from pipeline.training.distributed import ALONE, Processes, joined_processes


def test_alone_everything_is_ones_own() -> None:
    with joined_processes() as processes:
        assert processes == ALONE
        assert processes.share(5) == slice(0, 5)
        assert processes.device("cuda:3") == "cuda:3"
        assert torch.equal(processes.gather(torch.arange(3)), torch.arange(3))
        assert processes.mean(torch.tensor(2.0)) == 2
        assert processes.from_first(lambda: 7) == 7


@pytest.mark.parametrize(("length", "count"), [(7, 3), (8, 2), (3, 3), (100, 7)])
def test_shares_are_all_of_it_and_differ_by_one_at_most(length: int, count: int) -> None:
    shares = [range(length)[Processes(rank, count).share(length)] for rank in range(count)]
    assert [place for share in shares for place in share] == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_too_little_to_share_is_refused() -> None:
    with pytest.raises(UserError, match="2 images cannot be dealt out to 3 processes"):
        Processes(0, 3).share(2)
    with pytest.raises(UserError, match="a batch of 9 images cannot be dealt out evenly to 2"):
        Processes(0, 2).check_batch(9)


def test_a_process_takes_no_gpu_that_another_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    processes = Processes(1, 2)
    assert processes.device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert processes.device("auto") == "cuda:1"
    with pytest.raises(UserError, match="2 processes need a GPU each, got"):
        processes.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert processes.device("auto") == "cpu"
    with pytest.raises(UserError, match="cuda and 0 GPUs"):
        processes.device("cuda")
