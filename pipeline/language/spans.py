"""Entities of sentences as spans of their words, from what a network says of each word."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor

from pipeline.language.batches import TokenSet
from pipeline.language.listing import Sentence
from pipeline.language.tag_schemes import OUTSIDE, type_of
from pipeline.language.tokens import tokenise


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


@dataclass(frozen=True)
class Reading:
    """How a network was taught to read.

    Attributes:
        tokenizer: of its source model.
        longest: sub-words that enter at once.
        tags: in label order.
        pad: the sub-word that fills up.
    """

    tokenizer: Any
    longest: int
    tags: Sequence[str]
    pad: int

    def entities(
        self, sentences: Sequence[Sentence], logits_of: Callable[[TokenSet], Tensor]
    ) -> list[Entity]:
        """Of all sentences, in their order.

        Args:
            logits_of: parts of sentences to logits [word, tag] of their words.
        """
        if not sentences:
            return []
        store = tokenise(sentences, self.tags, self.tokenizer, self.longest)
        tokens = TokenSet(store, torch.arange(len(store.sentences)), self.pad)
        lengths = [len(sentence.tokens) for sentence in sentences]
        return list(entities(tokens, logits_of(tokens), self.tags, lengths))


def sentences_of(lines: Sequence[str], file: str) -> list[Sentence]:
    """One a line, its words between spaces; empty lines have none."""
    return [
        Sentence(tuple(words), (OUTSIDE,) * len(words), file, (number,) * len(words))
        for number, words in enumerate(map(str.split, lines), 1)
        if words
    ]


def entities_by_line(
    lines: Sequence[str], find: Callable[[Sequence[Sentence]], Iterable[Entity]]
) -> list[list[dict[str, Any]]]:
    """Of each line, which is a sentence, its entities for other programs, in their order.

    Each has its words from `first` to before `end`, counted from 0, their `text`, the `type`, and
    the `probability` of that.

    Args:
        find: sentences to their entities.
    """
    sentences = sentences_of(lines, "")
    found: list[list[dict[str, Any]]] = [[] for _ in lines]
    for entity in find(sentences):
        sentence = sentences[entity.sentence]
        one = {
            **{"first": entity.words.start, "end": entity.words.stop},
            "text": entity.text(sentence),
            **{"type": entity.type, "probability": entity.probability},
        }
        found[sentence.lines[0] - 1].append(one)
    return found


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


def tags_of_sentences(
    tokens: TokenSet, labels: Tensor, tags: Sequence[str], lengths: Sequence[int]
) -> list[list[str]]:
    """The tags of each sentence of these parts, in the sentences' order.

    A word that the tokenizer made nothing of is outside of all entities.

    Args:
        labels: of the words of the parts, [word]; the parts of a sentence follow each other.
        tags: in label order.
        lengths: in words, of the sentences in the order of their first part.
    """
    store, places = tokens.store, tokens.word_places
    sentences = list(dict.fromkeys(store.sentences[tokens.parts].tolist()))
    found = {number: [OUTSIDE] * length for number, length in zip(sentences, lengths, strict=True)}
    words = store.words[places].tolist()
    owners = tokens.word_sentences.tolist()
    for owner, word, label in zip(owners, words, labels.tolist(), strict=True):
        found[owner][word] = tags[label]
    return [found[number] for number in sentences]
