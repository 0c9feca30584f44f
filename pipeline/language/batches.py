"""Batches of sentences, each filled up to its longest one alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.cotuning.objectives import Batch
from pipeline.language.model import TokenInputs
from pipeline.language.tokens import TokenStore

BUCKET_BATCHES = 50  # whose sentences are sorted by length before they are dealt into batches


@dataclass(frozen=True)
class TokenSet:
    """Some parts of the stored sentences.

    Attributes:
        store: of all sentences.
        parts: numbers of these parts, int64 [M].
        pad: the sub-word that fills up.
    """

    store: TokenStore
    parts: Tensor
    pad: int

    def __len__(self) -> int:
        return len(self.parts)

    def part(self, places: slice | Tensor) -> "TokenSet":
        """Some of these parts, in their order or that of the indices."""
        return TokenSet(self.store, self.parts[places], self.pad)

    @property
    def lengths(self) -> Tensor:
        return self.store.part_lengths[self.parts]

    @property
    def word_places(self) -> Tensor:
        """In the store, of the words of these parts, in their order."""
        starts = self.store.word_starts
        spans = zip(starts[self.parts].tolist(), starts[self.parts + 1].tolist(), strict=True)
        return torch.cat([torch.arange(*span) for span in spans])

    @property
    def word_sentences(self) -> Tensor:
        """The numbers of their sentences, in the same order."""
        counts = self.store.word_starts.diff()[self.parts]
        return self.store.sentences[self.parts].repeat_interleave(counts)

    @property
    def labels(self) -> Tensor:
        return self.store.labels[self.word_places]

    def inputs(self) -> tuple[TokenInputs, Tensor]:
        """All of it as one batch, and the labels [word]; the source head is for entities."""
        store = self.store
        longest = int(self.lengths.max())
        input_ids = torch.full((len(self), longest), self.pad, dtype=torch.int64)
        mask = torch.zeros_like(input_ids)
        places = []
        for row, part in enumerate(self.parts.tolist()):
            sub_words = store.sub_words[store.starts[part] : store.starts[part + 1]]
            input_ids[row, : len(sub_words)] = sub_words.long()
            mask[row, : len(sub_words)] = 1
            own = store.places[store.word_starts[part] : store.word_starts[part + 1]]
            places.append(own.long() + row * longest)
        labels = self.labels
        return TokenInputs(input_ids, mask, torch.cat(places), labels.nonzero()[:, 0]), labels


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


def evaluation_token_batches(
    tokens: TokenSet, batch_size: int, device: torch.device
) -> Iterator[tuple[TokenInputs, Tensor]]:
    """Each part once, in order."""
    for places in torch.arange(len(tokens)).split(batch_size):
        inputs, labels = tokens.part(places).inputs()
        yield inputs.to(device), labels.to(device)
