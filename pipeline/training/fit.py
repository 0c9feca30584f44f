"""fit(): the one training loop; it reports through callbacks and tracks nothing."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.common.damage import reading_work
from pipeline.common.errors import UserError
from pipeline.common.files import write_aside
from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Batch, Objective
from pipeline.params.sections import Optimization
from pipeline.training.compute import Compute
from pipeline.training.data import TrainingData
from pipeline.training.distributed import ALONE, Processes
from pipeline.training.schedule import learning_rate_factor, new_optimizer, training_length
from pipeline.training.whole_batch import over_processes

EPOCHS_PER_SEED = 1_000_000

Record = dict[str, float]


class DivergedError(UserError):
    """The loss of an epoch is not finite."""


@dataclass(frozen=True)
class FitResult:
    """What training gives.

    Attributes:
        history: one record an epoch: epoch (from 1), learning_rate, each term of the objective
            (mean over the epoch, nats), validation_nll (nats), validation_accuracy in [0, 1], and
            what else the data's validation gives.
        kept_epoch: the one that the data judges best, ties to the lower nll, or the last.
        state: the model's state dict at kept_epoch, on the CPU.
    """

    history: list[Record]
    kept_epoch: int
    state: dict[str, Tensor]


def fit(
    model: CoTuningModel,
    objective: Objective,
    data: TrainingData,
    training: Optimization,
    compute: Compute,
    seed: int,
    on_epoch: Callable[[Record], None] = lambda record: None,
    on_batch: Callable[[int], None] = lambda images: None,
    checkpoint: Path | None = None,
    processes: Processes = ALONE,
) -> FitResult:
    """Train a model and keep the epoch of the best validation, or the last.

    The same seed on the same machine gives the same weights bit for bit on the CPU, also when
    the run was interrupted and went on from its checkpoint: every epoch draws from generators
    seeded by seed and epoch alone.

    Args:
        model: trained in place; left in the state of the last epoch.
        objective: gives the named terms whose sum is minimised; trained and saved as the model is.
        on_epoch: gets each epoch's record after it; may raise to stop.
        on_batch: gets the number of images or sentences of each batch after it.
        checkpoint: where to write the state after each epoch; read at the start if it exists.
            The caller keys the path to everything that the training depends on.
        processes: each calls this function with the same arguments, has its part of every batch
            and gets the same result; the first one writes the checkpoint.

    Raises:
        UserError: there are too few images, or a batch cannot be dealt out to the processes.
        DivergedError: the loss is not finite.
    """
    data.require_enough()
    processes.check_batch(min(training.batch_size, len(data.train)))
    processes.share(len(data.validation))
    model.to(compute.device).to(memory_format=torch.channels_last)
    loop = Loop(model, objective, data, training, compute, processes)
    if checkpoint is not None:
        loop.go_on_from(checkpoint)
    for record in loop.history:
        on_epoch(record)
    for epoch in range(len(loop.history) + 1, loop.length.epochs + 1):
        record = loop.run_epoch(epoch, seed, on_batch)
        if checkpoint is not None and processes.is_first:
            loop.save(checkpoint)
        on_epoch(record)
    return FitResult(loop.history, loop.kept_epoch, loop.kept)


class Loop:
    """The state of a training run: what a checkpoint holds, and what changes it."""

    def __init__(
        self,
        model: CoTuningModel,
        objective: Objective,
        data: TrainingData,
        training: Optimization,
        compute: Compute,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.objective, self.data = model, objective, data
        self.training, self.compute, self.processes = training, compute, processes
        self.network = compute.ready(over_processes(model, processes))
        groups = model.parameter_groups(training.learning_rate, training.target_head_factor)
        if beside := [value for value in objective.parameters() if value.requires_grad]:
            groups.append({"params": beside})
        self.optimizer = new_optimizer(groups, training)
        self.length = training_length(training, len(data.train))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, learning_rate_factor(training, self.length)
        )
        self.history: list[Record] = []
        self.kept: dict[str, Tensor] = {}

    @property
    def kept_epoch(self) -> int:
        if self.training.kept_epoch == "last":
            return len(self.history)
        return int(max(self.history, key=self._quality)["epoch"])

    def _quality(self, record: Record) -> tuple[float, float]:
        return record[self.data.judged_by], -record["validation_nll"]

    def run_epoch(self, epoch: int, seed: int, on_batch: Callable[[int], None]) -> Record:
        record: Record = {"epoch": epoch, "learning_rate": self.optimizer.param_groups[0]["lr"]}
        iterations = self.length.iterations_of(epoch)
        diverged = DivergedError(
            f"the loss is not finite in epoch {epoch}; lower the learning_rate "
            f"({self.training.learning_rate:g}), or bound the gradient by max_gradient_norm"
        )
        try:
            record |= self._train(seed * EPOCHS_PER_SEED + epoch, iterations, on_batch)
        except torch.linalg.LinAlgError:  # there are no singular values of NaN
            raise diverged from None
        record |= self.data.validate(self.model, self.compute, self.processes)
        if not all(map(math.isfinite, record.values())):
            raise diverged
        self.history.append(record)
        if self.kept_epoch == epoch:
            self.kept = state_on_cpu(self.model)
        return record

    def _train(self, epoch_seed: int, iterations: int, on_batch: Callable[[int], None]) -> Record:
        # Dropout draws by process, crops and their order are the same for all.
        torch.manual_seed(epoch_seed * self.processes.count + self.processes.rank)
        self.objective.begin_training(self.model)
        totals: dict[str, Tensor] = {}
        seen = 0
        batches = self.data.batches(
            self.training,
            epoch_seed,
            self.objective.needs_second_view,
            self.compute.device,
            self.processes.share,
        )
        grouped = zip(*[batches] * self.training.accumulated_batches, strict=True)
        for group in itertools.islice(grouped, iterations):
            for batch, terms in zip(group, self.step(*group), strict=True):
                for name, value in terms.items():
                    totals[name] = value.detach() * len(batch.labels) + totals.get(name, 0)
                seen += len(batch.labels)
                on_batch(batch.size * self.processes.count)
        means = self.processes.mean(torch.stack([total / seen for total in totals.values()]))
        return dict(zip(totals, means.tolist(), strict=True))

    def step(self, *batches: Batch) -> list[dict[str, Tensor]]:
        """One change of the weights, by the mean gradient of the batches; of each its terms."""
        self.optimizer.zero_grad()
        found = []
        for batch in batches:
            with self.compute.autocast():
                terms = self.objective(self.network, batch)
            (torch.stack(list(terms.values())).sum() / len(batches)).backward()
            found.append(terms)
        if self.training.max_gradient_norm is not None:
            trained = [*self.model.parameters(), *self.objective.parameters()]
            nn.utils.clip_grad_norm_(trained, self.training.max_gradient_norm)
        self.optimizer.step()
        self.schedule.step()
        return found

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "kept": self.kept,
        }
        with write_aside(path) as aside:
            torch.save(state, aside)

    def go_on_from(self, path: Path) -> None:
        """Take over what was saved, if the first process has it."""
        if (saved := self.processes.from_first(lambda: _saved(path))) is None:
            return
        with reading_work(path):
            self.model.load_state_dict(saved["model"])
            self.objective.load_state_dict(saved["objective"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.schedule.load_state_dict(saved["schedule"])
            self.history, self.kept = saved["history"], saved["kept"]


def state_on_cpu(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the model's state dict, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _saved(checkpoint: Path) -> dict[str, Any] | None:
    if not checkpoint.exists():
        return None
    with reading_work(checkpoint):
        state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return state
