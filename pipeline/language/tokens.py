"""Sentences as sub-words, tokenised once and mapped into memory by all later stages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.common.errors import UserError
from pipeline.common.tensors import write_tensors
from pipeline.language.listing import Sentence

CHUNK = 1000  # sentences that the tokenizer gets at once


class Part(NamedTuple):
    """A sentence, or what of it enters the network at once.

    Attributes:
        sub_words: with the marks that the model puts at both ends.
        places: in these, of each word's first sub-word.
        lengths: of each word, in sub-words.
        words: which words of the sentence they are.
    """

    sub_words: list[int]
    places: list[int]
    lengths: list[int]
    words: list[int]


@dataclass(frozen=True)
class TokenStore:
    """The parts of all sentences, one after the other.

    Attributes:
        sub_words: int32 [all sub-words].
        starts: int64 [part + 1]: where each part begins in these.
        sentences: int32 [part]: the number of its sentence.
        word_starts: int64 [part + 1]: where each part begins in the arrays of words.
        places, lengths, words: int32 [all words]: as of Part.
        labels: int64 [all words]: of the tags.
    """

    sub_words: Tensor
    starts: Tensor
    sentences: Tensor
    word_starts: Tensor
    places: Tensor
    lengths: Tensor
    words: Tensor
    labels: Tensor

    def save(self, path: Path) -> None:
        write_tensors(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> "TokenStore":
        return cls(**load_file(path))

    def parts_of(self, sentences: Tensor) -> Tensor:
        """Numbers of the parts of some sentences, in their order."""
        return torch.nonzero(torch.isin(self.sentences, sentences.to(self.sentences)))[:, 0]

    def parts_of_words(self, words: Tensor) -> Tensor:
        """Numbers of the parts that some words are of, by their places in the store."""
        return torch.searchsorted(self.word_starts, words, right=True) - 1

    @property
    def part_lengths(self) -> Tensor:
        return self.starts.diff()


def tokenise(
    sentences: Sequence[Sentence], tags: Sequence[str], tokenizer: Any, longest: int
) -> TokenStore:
    """All sentences as sub-words. A word that the tokenizer makes nothing of is left out.

    Args:
        tags: all, in label order.
        tokenizer: a fast one of transformers.
        longest: part, in sub-words; longer sentences are cut between words.

    Raises:
        UserError: the model takes fewer sub-words.
    """
    most = tokenizer.model_max_length
    if longest > most:
        raise UserError(f"source_model.longest: got {longest}; this model takes {most} at most")
    labels = {tag: label for label, tag in enumerate(tags)}
    before, after = _marks(tokenizer)
    parts: list[Part] = []
    owners: list[int] = []
    word_labels: list[int] = []
    for number, words in enumerate(_sub_words_of_words(sentences, tokenizer)):
        for part in _parts(words, before, after, longest):
            parts.append(part)
            owners.append(number)
            word_labels += [labels[sentences[number].tags[word]] for word in part.words]
    return TokenStore(
        sub_words=_flat([part.sub_words for part in parts]),
        starts=_starts([len(part.sub_words) for part in parts]),
        sentences=torch.tensor(owners, dtype=torch.int32),
        word_starts=_starts([len(part.words) for part in parts]),
        places=_flat([part.places for part in parts]),
        lengths=_flat([part.lengths for part in parts]),
        words=_flat([part.words for part in parts]),
        labels=torch.tensor(word_labels, dtype=torch.int64),
    )


def _sub_words_of_words(
    sentences: Sequence[Sentence], tokenizer: Any
) -> Iterator[dict[int, list[int]]]:
    """Of each sentence the sub-words of its words, by the words' numbers."""
    for start in range(0, len(sentences), CHUNK):
        chunk = sentences[start : start + CHUNK]
        encoded = tokenizer(
            [list(sentence.tokens) for sentence in chunk],
            is_split_into_words=True,
            add_special_tokens=False,
        )
        for place in range(len(chunk)):
            words: dict[int, list[int]] = {}
            found = zip(encoded.word_ids(place), encoded["input_ids"][place], strict=True)
            for word, sub_word in found:
                words.setdefault(word, []).append(sub_word)
            yield words


def _parts(
    words: dict[int, list[int]], before: list[int], after: list[int], longest: int
) -> Iterator[Part]:
    """At least one part, so that each sentence has one."""
    room = longest - len(before) - len(after)
    part = Part([*before], [], [], [])
    for word, sub_words in words.items():
        kept = sub_words[:room]
        if len(part.sub_words) - len(before) + len(kept) > room:
            yield part._replace(sub_words=part.sub_words + after)
            part = Part([*before], [], [], [])
        part.places.append(len(part.sub_words))
        part.lengths.append(len(kept))
        part.words.append(word)
        part.sub_words.extend(kept)
    yield part._replace(sub_words=part.sub_words + after)


def _marks(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before a text and after it."""
    bare, whole = (
        tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True)
    )
    start = next(place for place in range(len(whole)) if whole[place : place + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def _flat(lists: Sequence[list[int]]) -> Tensor:
    return torch.tensor([value for one in lists for value in one], dtype=torch.int32)


def _starts(lengths: Sequence[int]) -> Tensor:
    return torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0)
