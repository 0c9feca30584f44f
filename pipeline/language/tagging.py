"""Entities of a user's own sentences."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor, nn

from pipeline.common.errors import UserError, reason_of
from pipeline.common.files import find_files
from pipeline.language.artifacts import TextClasses, TextStore
from pipeline.language.batches import TokenSet
from pipeline.language.inference import predict_words, tags_of_sentences
from pipeline.language.listing import Sentence
from pipeline.language.source import load_tokenizer
from pipeline.language.tag_schemes import OUTSIDE, type_of, types_of
from pipeline.language.tagger import load_tagger
from pipeline.language.tokens import tokenise
from pipeline.params import LanguageParams
from pipeline.training.compute import Compute, resolve_compute

SUFFIX = ".txt"


class Entity(NamedTuple):
    """What a model takes for one.

    Attributes:
        sentence: its place among the sentences.
        words: which of its words.
        type: by their tags.
        probability: of this type, the mean over these words.
        probabilities: of being outside, then of each type in the order of the tags, [1 + types]:
            means over these words.
    """

    sentence: int
    words: range
    type: str
    probability: float
    probabilities: Tensor

    def text(self, sentence: Sentence) -> str:
        """Its words in the sentence that it is of."""
        return " ".join(sentence.tokens[word] for word in self.words)


def find_texts(places: Sequence[Path]) -> list[Path]:
    """The files that are named, and those with .txt below the folders that are named, sorted.

    Raises:
        UserError: a place does not exist, or there is no such file.
    """
    found = find_files(
        places, lambda path: path.name.endswith(SUFFIX), "files of text, or folders of them"
    )
    if not found:
        raise UserError(f"there is no {SUFFIX} file in {', '.join(map(str, places))}")
    return found


def read_text(path: Path) -> list[Sentence]:
    """The sentences of a file: one a line, its words between spaces; empty lines have none.

    Raises:
        UserError: the file cannot be read, or is not in UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(reason_of(error)) from None
    except UnicodeDecodeError:
        raise UserError("not in UTF-8") from None
    return sentences_of(lines, os.fspath(path))


def sentences_of(lines: Sequence[str], file: str) -> list[Sentence]:
    """One a line, its words between spaces; empty lines have none."""
    return [
        Sentence(tuple(words), (OUTSIDE,) * len(words), file, (number,) * len(words))
        for number, words in enumerate(map(str.split, lines), 1)
        if words
    ]


@dataclass(frozen=True)
class Tagger:
    """A fine-tuned network with all that it needs to find entities.

    Attributes:
        network: TokenInputs to target logits [word, tag], on the device of compute.
        tokenizer: of its source model.
        longest: sub-words that enter at once.
        tags: in label order.
        pad: the sub-word that fills up.
        batch_size: in parts of sentences.
    """

    network: nn.Module
    tokenizer: Any
    longest: int
    tags: Sequence[str]
    pad: int
    batch_size: int
    compute: Compute

    @property
    def names(self) -> list[str]:
        """Outside, then the types, in the order of an entity's probabilities."""
        return [OUTSIDE, *types_of(self.tags)]

    def entities(
        self, sentences: Sequence[Sentence], on_batch: Callable[[int], None] = lambda words: None
    ) -> list[Entity]:
        """Of all sentences, in their order."""
        store = tokenise(sentences, self.tags, self.tokenizer, self.longest)
        tokens = TokenSet(store, torch.arange(len(store.sentences)), self.pad)
        logits = predict_words(self.network, tokens, self.batch_size, self.compute, on_batch)
        lengths = [len(sentence.tokens) for sentence in sentences]
        return list(entities(tokens, logits, self.tags, lengths))


def ready_tagger(store: TextStore, params: LanguageParams, method: str) -> Tagger:
    """What a method trained, ready to find entities.

    Raises:
        UserError: as load_tagger.
    """
    classes: TextClasses = store.load_json(TextClasses, "prepare-data", "classes.json")
    compute = resolve_compute(params.compute.device, params.compute.precision)
    model = load_tagger(store, params, method, len(classes.classes))
    return Tagger(
        network=model.deploy().to(compute.device),
        tokenizer=load_tokenizer(params.source_model.name),
        longest=params.source_model.longest,
        tags=classes.classes,
        pad=classes.pad,
        batch_size=params.evaluate.batch_size,
        compute=compute,
    )


def entities(
    tokens: TokenSet, logits: Tensor, tags: Sequence[str], lengths: Sequence[int]
) -> Iterator[Entity]:
    """The entities of all sentences, as evaluate counts them, in their order.

    A word that the tokenizer made nothing of is outside, surely.

    Args:
        tokens: all parts of the sentences.
        logits: [word, tag], of the words of the parts.
        tags: in label order.
        lengths: of the sentences, in words.
    """
    types = list(dict.fromkeys(map(type_of, tags)))
    groups = torch.tensor([types.index(type_of(tag)) for tag in tags])
    of_types = torch.zeros(len(logits), len(types)).index_add(1, groups, logits.softmax(dim=1))
    starts = torch.tensor([0, *lengths]).cumsum(dim=0)
    surely = torch.eye(len(types))[0]
    every = surely.repeat(int(starts[-1]), 1)
    places = starts[tokens.word_sentences.long()] + tokens.store.words[tokens.word_places]
    every[places] = of_types
    found = tags_of_sentences(tokens, logits.argmax(dim=1), tags, lengths)
    for number, (start, own) in enumerate(zip(starts.tolist(), found, strict=False)):
        for name, first, last in get_entities(own):
            mean = every[start + first : start + last + 1].mean(dim=0)
            likely = float(mean[types.index(name)])
            yield Entity(number, range(first, last + 1), name, likely, mean)
