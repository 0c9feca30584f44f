"""One stage in several processes, as torchrun starts them: who takes what, and what they share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.errors import UserError


@dataclass(frozen=True)
class Processes:
    """The processes of a stage, as one of them sees it.

    Attributes:
        rank: of this one, from 0; 0 alone writes artifacts and runs.
        count: of all; 1 without torchrun.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, length: int) -> slice:
        """The part of a sequence that is this process's; parts differ by one at most."""
        return slice(length * self.rank // self.count, length * (self.rank + 1) // self.count)

    def check_batch(self, size: int) -> None:
        """Refuse, with a UserError, a batch that cannot be dealt out evenly."""
        if size % self.count:
            raise UserError(
                f"a batch of {size} images cannot be dealt out evenly to {self.count} processes; "
                f"change batch_size (to {size - size % self.count or self.count}, say) or "
                "torchrun's --nproc-per-node"
            )

    def gather(self, part: Tensor) -> Tensor:
        """The parts of all processes, [n, ...] each, one after the other; on the CPU."""
        if self.count == 1:
            return part
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, part.cpu())
        return torch.cat(parts)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes, element by element."""
        if self.count == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.count

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def device(self, device: str) -> str:
        """Each process has a GPU of its own, where GPUs are asked for."""
        wants_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        if self.count > 1 and wants_gpu:
            return f"cuda:{os.environ['LOCAL_RANK']}"
        return device


ALONE = Processes()


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """The processes that torchrun started, or this one alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()
