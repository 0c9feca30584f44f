"""One stage in several processes, as torchrun starts them: who takes what, and what they share."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.common.errors import UserError
from pipeline.common.launch import process_count

Value = TypeVar("Value")


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
        """The part of a sequence that is this process's; parts differ by one at most.

        Raises:
            UserError: there is not one item a process.
        """
        if length < self.count:
            raise UserError(f"{length} images cannot be dealt out to {self.count} processes")
        return slice(length * self.rank // self.count, length * (self.rank + 1) // self.count)

    def check_batch(self, size: int) -> None:
        """Refuse a batch that cannot be dealt out evenly.

        Raises:
            UserError: size is no multiple of the number of processes.
        """
        if size % self.count:
            raise UserError(
                f"a batch of {size} images cannot be dealt out evenly to {self.count} processes; "
                "change fine_tune.batch_size or the number of processes"
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

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What `make` gives in the first process, which alone calls it."""
        if self.count == 1:
            return make()
        made: list[Any] = [make() if self.is_first else None]
        dist.broadcast_object_list(made)
        value: Value = made[0]
        return value

    def device(self, asked: str) -> str:
        """This process's device: a GPU of its own, where GPUs are asked for.

        Args:
            asked: compute.device.

        Raises:
            UserError: the processes cannot share the device out.
        """
        if self.count == 1 or asked == "cpu":
            return asked
        gpus, here = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
        if asked == "auto" and gpus == 0:
            return "cpu"
        if asked not in ("auto", "cuda") or gpus < here:
            raise UserError(
                f"{here} processes need a GPU each, got compute.device: {asked} and {gpus} GPUs; "
                "use auto or cuda and as many processes as GPUs, or cpu"
            )
        return f"cuda:{os.environ['LOCAL_RANK']}"


ALONE = Processes()


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """The processes that torchrun started, or this one alone.

    This one ends when another has ended before its time, without a word: that one says why, or
    torchrun where it was killed.
    """
    if process_count() == 1:
        yield ALONE
        return
    if local := torch.cuda.device_count():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if local else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            sys.exit(1)
        raise
    finally:
        dist.destroy_process_group()
