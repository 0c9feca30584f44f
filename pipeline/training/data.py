"""What a training learns from and is validated on; of images, how they enter."""

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, replace
from itertools import starmap
from typing import Protocol

import torch
from torch import Tensor

from pipeline.common.errors import UserError
from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Batch
from pipeline.datasets.batches import ImageSet, Preprocessing, training_batches
from pipeline.params.sections import Optimization, Training
from pipeline.training.compute import Compute
from pipeline.training.distributed import Processes
from pipeline.training.inference import validate
from pipeline.training.schedule import samples_passed


class TrainingData(Protocol):
    """What fit() asks of its data, of whatever modality."""

    @property
    def train(self) -> Sized: ...

    @property
    def validation(self) -> Sized: ...

    @property
    def judged_by(self) -> str:
        """Which of the numbers of validate() is best where it is highest."""

    def require_enough(self) -> None:
        """UserError where no network can be trained and judged on them."""

    def batches(
        self,
        training: Optimization,
        seed: int,
        second_views: bool,
        device: torch.device,
        share: Callable[[int], slice],
    ) -> Iterator[Batch]:
        """Pass after pass over the training samples, each in an order of its own, without end.

        Args:
            seed: of all draws, equal for all processes.
            second_views: whether each batch needs another view of its samples.
            share: the places of a batch of that length that are this process's.
        """

    def validate(
        self, model: CoTuningModel, compute: Compute, processes: Processes
    ) -> dict[str, float]:
        """validation_nll (mean, nats), judged_by, and what else there is to know."""


@dataclass(frozen=True)
class Data:
    """The images that fit() trains and selects on, and how their bytes become network input."""

    train: ImageSet
    validation: ImageSet
    preprocessing: Preprocessing

    @property
    def judged_by(self) -> str:
        return "validation_accuracy"

    def require_enough(self) -> None:
        """Refuse what no network can be trained and judged on.

        Raises:
            UserError: there are fewer than 2 training images, or no validation images.
        """
        if len(self.train) < 2 or len(self.validation) < 1:
            raise UserError(
                f"got {len(self.train)} training and {len(self.validation)} validation images; "
                "batch normalisation needs 2 for training, and choosing the best epoch 1 for "
                "validation: raise prepare_data.images_per_class or add images"
            )

    def batches(
        self,
        training: Optimization,
        seed: int,
        second_views: bool,
        device: torch.device,
        share: Callable[[int], slice],
    ) -> Iterator[Batch]:
        """See TrainingData."""
        assert isinstance(training, Training), "a training of images says how they are cropped"
        generator = torch.Generator().manual_seed(seed)
        # Their seeds are below 0, those of the first from 0.
        second = torch.Generator().manual_seed(-1 - seed) if second_views else None
        crops = replace(self.preprocessing, smallest_crop=training.smallest_crop)
        while True:
            drawn = training_batches(
                *(self.train, crops, training.batch_size, generator, device, share, second)
            )
            yield from starmap(Batch, drawn)

    def validate(
        self, model: CoTuningModel, compute: Compute, processes: Processes
    ) -> dict[str, float]:
        """validation_nll and validation_accuracy on the centre crops."""
        return validate(model.deploy(), self.validation, self.preprocessing, compute, processes)

    def images_passed(self, training: Training) -> int:
        """How many images a whole training run passes, each as often as it is passed."""
        return samples_passed(training, len(self.train))

    def joined(self) -> ImageSet:
        """The images of training, then those of validation."""
        return self.train.followed_by(self.validation)

    def dealt(self, train: Tensor, validation: Tensor) -> "Data":
        """The same images dealt out anew, by their places in joined()."""
        images = self.joined()
        return Data(images.part(train), images.part(validation), self.preprocessing)
