"""The images of a training: those that it learns from and those that it is validated on."""

from dataclasses import dataclass

from torch import Tensor

from pipeline.datasets.batches import ImageSet, Preprocessing
from pipeline.params.sections import Training
from pipeline.training.schedule import training_length


@dataclass(frozen=True)
class Data:
    """What fit() trains and selects on, and how its bytes become network input."""

    train: ImageSet
    validation: ImageSet
    preprocessing: Preprocessing

    def images_passed(self, training: Training) -> int:
        """How many images a whole training run passes, each as often as it is passed."""
        images = len(self.train)
        return training_length(training, images).iterations * min(training.batch_size, images)

    def joined(self) -> ImageSet:
        """The images of training, then those of validation."""
        return self.train.followed_by(self.validation)

    def dealt(self, train: Tensor, validation: Tensor) -> "Data":
        """The same images dealt out anew, by their places in joined()."""
        images = self.joined()
        return Data(images.part(train), images.part(validation), self.preprocessing)
