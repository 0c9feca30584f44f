"""Batches of sentences, each filled up to its longest one alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.language.inputs import TokenInputs
from pipeline.language.tokens import TokenStore


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


def evaluation_token_batches(
    tokens: TokenSet, batch_size: int, device: torch.device
) -> Iterator[tuple[TokenInputs, Tensor]]:
    """Each part once, in order."""
    for places in torch.arange(len(tokens)).split(batch_size):
        inputs, labels = tokens.part(places).inputs()
        yield inputs.to(device), labels.to(device)


def ask_by_length(tokens: TokenSet, ask: Callable[[TokenSet], Tensor]) -> Tensor:
    """What is found of the words of the parts, [word, any], in the order of the parts.

    Args:
        ask: the same of parts that it gets in the order of their lengths, so that in a batch they
            are of like length.
    """
    ordered = tokens.part(tokens.lengths.argsort(stable=True))
    by_place = ask(ordered)[ordered.word_places.argsort()]
    return by_place[tokens.word_places.argsort().argsort()]
