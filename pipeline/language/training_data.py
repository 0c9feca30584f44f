"""The sentences that fit() trains and selects on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from pipeline.common.errors import UserError
from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Batch
from pipeline.language.artifacts import PreparedText
from pipeline.language.batches import TokenSet
from pipeline.language.entities import count_entities
from pipeline.language.inference import predict_words
from pipeline.language.spans import tags_of_sentences
from pipeline.language.tag_schemes import types_of
from pipeline.params.sections import Optimization
from pipeline.training.compute import Compute
from pipeline.training.distributed import Processes

BUCKET_BATCHES = 50  # whose sentences are sorted by length before they are dealt into batches
VALIDATION_BATCH = 64


@dataclass(frozen=True)
class TokenData:
    """See pipeline.training.data.TrainingData.

    Attributes:
        tags: in label order.
        validation_lengths: in words, of the validation sentences.
    """

    train: TokenSet
    validation: TokenSet
    tags: Sequence[str]
    validation_lengths: Sequence[int]

    @classmethod
    def of(cls, prepared: PreparedText) -> "TokenData":
        return cls(
            prepared.split("train"),
            prepared.split("validation"),
            prepared.tags,
            prepared.lengths("validation"),
        )

    @property
    def judged_by(self) -> str:
        return "validation_f1"

    def require_enough(self) -> None:
        if len(self.train) < 2 or len(self.validation) < 1:
            raise UserError(
                f"got {len(self.train)} sentences for training and {len(self.validation)} for "
                "validation; expected 2 and 1 or more: raise prepare_data.sentences"
            )

    def batches(
        self,
        training: Optimization,
        seed: int,
        second_views: bool,
        device: torch.device,
        share: Callable[[int], slice],
    ) -> Iterator[Batch]:
        assert not second_views, "no method of text compares two views"
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield from training_token_batches(
                self.train, training.batch_size, generator, device, share
            )

    def validate(
        self, model: CoTuningModel, compute: Compute, processes: Processes
    ) -> dict[str, float]:
        """validation_nll and validation_accuracy of words, validation_f1 of entities."""
        tokens, labels = self.validation, self.validation.labels
        own = tokens.part(processes.share(len(tokens)))
        logits = processes.gather(predict_words(model.deploy(), own, VALIDATION_BATCH, compute))
        predicted = logits.argmax(dim=1)
        true, found = (
            tags_of_sentences(tokens, one, self.tags, self.validation_lengths)
            for one in (labels, predicted)
        )
        return {
            "validation_nll": float(F.cross_entropy(logits, labels)),
            "validation_accuracy": float((predicted == labels).float().mean()),
            "validation_f1": count_entities(true, found, types_of(self.tags)).scores()["f1"],
        }


def training_token_batches(
    tokens: TokenSet,
    batch_size: int,
    generator: torch.Generator,
    device: torch.device,
    share: Callable[[int], slice],
) -> Iterator[Batch]:
    """Each part once, in batches of parts that are about equally long, in random order.

    A last batch that is not full is left out, unless it is the only one.
    """
    order = torch.randperm(len(tokens), generator=generator)
    full = len(order) // batch_size * batch_size or len(order)
    buckets = order[:full].split(batch_size * BUCKET_BATCHES)
    lengths = tokens.lengths
    batches = [
        batch
        for bucket in buckets
        for batch in bucket[lengths[bucket].argsort(stable=True)].split(batch_size)
    ]
    for number in torch.randperm(len(batches), generator=generator).tolist():
        own = tokens.part(batches[number][share(len(batches[number]))])
        inputs, labels = own.inputs()
        yield Batch(inputs.to(device), labels.to(device), own.parts)
