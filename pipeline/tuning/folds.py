"""Folds of the labelled data, on which candidates are trained and judged."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from pipeline.common.damage import reading_work
from pipeline.common.tensors import write_tensors
from pipeline.cotuning.folds import stratified_folds
from pipeline.search.evidence import HeldOut


@dataclass(frozen=True)
class Fold:
    """Places of images or sentences among those of training and validation together.

    Attributes:
        kept, held_out: to train on, and to judge by; both in rising order.
        seed: of the head and of the batches.
    """

    kept: Tensor
    held_out: Tensor
    seed: int


def repeated_folds(labels: Tensor, folds: int, repeats: int, seed: int) -> list[Fold]:
    """Stratified folds of labelled samples, dealt out anew and with another seed in each repeat."""
    return [
        Fold(kept, held_out, seed + repeat)
        for repeat in range(repeats)
        for kept, held_out in stratified_folds(labels, folds, seed + repeat)
    ]


class FoldTrainer(ABC):
    """Trains candidates on folds, each exactly as fine-tune trains the method.

    Attributes:
        temperature: the calibrated one.
        work: folder of what is finished, so that no fold is trained twice.
    """

    temperature: float
    work: Path

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many logits a judgement has."""

    @abstractmethod
    def folds(self) -> Sequence[Fold]: ...

    @abstractmethod
    def judged(self, fold: Fold) -> tuple[Tensor, Tensor]:
        """Of each prediction for what the fold holds out: the place of its image, or the number of
        its sentence, and its label, both [N].
        """

    @abstractmethod
    def learn(self, fold: Fold, temperature: float) -> Tensor:
        """R of what the fold keeps, in one way for all folds."""

    @abstractmethod
    def train(
        self,
        fold: Fold,
        source_weight: float,
        temperature: float,
        relationship: Tensor | None,
        on_batch: Callable[[int], None],
    ) -> Tensor:
        """Logits [N, classes] for what the fold holds out.

        Args:
            relationship: R; None of vanilla.
        """

    @abstractmethod
    def samples_passed(self) -> int:
        """How many images or sentences a candidate passes in all its trainings."""

    def peers(self) -> Mapping[str, Sequence[HeldOut]]:
        """Of methods that are not searched, what they predict on the same folds."""
        return {}

    def held_out(
        self,
        source_weight: float,
        temperature_factor: float,
        on_batch: Callable[[int], None] = lambda samples: None,
    ) -> Iterator[HeldOut]:
        """Of each fold what the candidate predicts for what it holds out; a weight of 0 is vanilla.

        Raises:
            DivergedError: a training did.
        """
        temperature = self.temperature * temperature_factor
        name = f"{source_weight:.8g}-{temperature_factor:.8g}"
        for number, fold in enumerate(self.folds()):
            path = self.work / f"{name}-{number}.safetensors"
            if not path.exists():
                learned = self._learned(number, fold, temperature) if source_weight else None
                logits = self.train(fold, source_weight, temperature, learned, on_batch)
                write_tensors(path, {"logits": logits})
            places, labels = self.judged(fold)
            yield HeldOut(places, _logits(path, (len(labels), self.classes)), labels)

    @cached_property
    def _relationships(self) -> dict[tuple[float, int], Tensor]:
        """Of what was learned, by temperature and the number of the fold."""
        return {}

    def _learned(self, number: int, fold: Fold, temperature: float) -> Tensor:
        """Learned once for each temperature and fold, whatever the source weights tried."""
        key = temperature, number
        if key not in self._relationships:
            self._relationships[key] = self.learn(fold, temperature)
        return self._relationships[key]


def _logits(path: Path, shape: tuple[int, int]) -> Tensor:
    with reading_work(path):
        logits = load_file(path)["logits"]
        if logits.shape != shape:
            raise ValueError(f"logits {tuple(logits.shape)} are not {shape}")
        return logits
