"""What every source of text is read as: its sentences, token by token with their tags."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pipeline.common.errors import UserError
from pipeline.language.tag_schemes import Scheme, TagError, as_iob2, tags_of, type_of

# Of a published split, or "" where the source publishes none.
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Sentence:
    """Tokens and a tag each, and where it begins: a file and a line in it, from 1.

    Attributes:
        lines: of each token, where a token has a line of its own; else that of the sentence.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    file: str
    lines: tuple[int, ...]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.lines[0]}"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From what json makes of its asdict()."""
        tokens, tags, lines = (tuple(value[name]) for name in ("tokens", "tags", "lines"))
        return cls(tokens, tags, value["file"], lines)

    def in_iob2(self, scheme: Scheme) -> "Sentence":
        """Raises UserError with file and line where a tag breaks the scheme."""
        try:
            return Sentence(self.tokens, as_iob2(self.tags, scheme), self.file, self.lines)
        except TagError as error:
            raise UserError(f"{self.file}:{self.lines[error.position]}: {error}") from None


@dataclass(frozen=True)
class TextListing:
    """All sentences of a source, in IOB2.

    Attributes:
        sentences: in the order of their files.
        splits: of each sentence its published split, or "".
        types: of entities, in alphabetical order.
    """

    sentences: Sequence[Sentence]
    splits: Sequence[str]
    types: tuple[str, ...]

    @property
    def tags(self) -> list[str]:
        return tags_of(self.types)


def list_sentences(parts: Iterator[tuple[str, Sentence]], scheme: Scheme) -> TextListing:
    """Convert and check sentences, each with its split.

    Raises:
        UserError: a tag breaks the scheme, or there are not two types of entities.
    """
    splits, sentences = [], []
    for split, sentence in parts:
        splits.append(split)
        sentences.append(sentence.in_iob2(scheme))
    types = sorted({type_of(tag) for one in sentences for tag in one.tags} - {""})
    if len(types) < 2:
        found = f"only {types[0]}" if types else "none"
        raise UserError(
            f"{sentences[0].file} and what is beside it has entities of {found}; expected two "
            "types or more, for the relationship tells types apart"
        )
    return TextListing(sentences, splits, tuple(types))
