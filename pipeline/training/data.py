"""The images of a training: those that it learns from and those that it is validated on."""

from dataclasses import dataclass

from torch import Tensor

from pipeline.common.errors import UserError
from pipeline.datasets.batches import ImageSet, Preprocessing
from pipeline.params.sections import Training
from pipeline.training.schedule import training_length


@dataclass(frozen=True)
class Data:
    """What fit() trains and selects on, and how its bytes become network input."""

    train: ImageSet
    validation: ImageSet
    preprocessing: Preprocessing

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
