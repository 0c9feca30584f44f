"""Where text comes from: the one registry of what prepare_data.source can name for text."""

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.language.listing import Sentence, TextListing, list_sentences
from pipeline.language.readers.columns import read_columns
from pipeline.language.readers.json_lines import read_json_lines
from pipeline.language.tag_schemes import Scheme

Reader = Callable[[Path], Iterator[Sentence]]
# Names that a file of a split is known by, the first that is there is taken.
Names = Mapping[str, tuple[str, ...]]

TWO_COLUMNS = functools.partial(read_columns, columns=2)


def _named(ends: tuple[str, ...]) -> Names:
    stems = {"train": ("train",), "validation": ("validation", "valid", "dev"), "test": ("test",)}
    return {
        split: tuple(stem + end for stem in known for end in ends) for split, known in stems.items()
    }


SOURCES: Mapping[str, tuple[Reader, Names]] = {
    "conll": (
        functools.partial(read_columns, columns=4),
        {
            "train": ("eng.train", "train.txt", "train.conll"),
            "validation": ("eng.testa", "testa.txt", "valid.txt", "valid.conll", "dev.txt"),
            "test": ("eng.testb", "testb.txt", "test.txt", "test.conll"),
        },
    ),
    "wnut-17": (
        TWO_COLUMNS,
        {
            "train": ("wnut17train.conll",),
            "validation": ("emerging.dev.conll",),
            "test": ("emerging.test.annotated",),
        },
    ),
    "columns": (TWO_COLUMNS, _named((".txt", ".tsv", ".conll", ".iob", ".bio"))),
    "json-lines": (read_json_lines, _named((".jsonl", ".json"))),
}


def list_text(source: str, root: Path, scheme: Scheme) -> TextListing:
    """Read all sentences of a source.

    Args:
        source: one of SOURCES.
        root: a folder with a file for training and, where they are published, for validation and
            test; or one file, whose sentences belong to no split.
        scheme: of the files.

    Raises:
        UserError: with file and line; or the file for training is missing.
    """
    read, names = SOURCES[source]
    return list_sentences(_parts(read, names, source, root), scheme)


def _parts(read: Reader, names: Names, source: str, root: Path) -> Iterator[tuple[str, Sentence]]:
    if root.is_file():
        yield from (("", sentence) for sentence in read(root))
        return
    for split, known in names.items():
        path = next((root / name for name in known if (root / name).is_file()), None)
        if path is None and split == "train":
            raise UserError(
                f"prepare_data.root: {root} has no file for training; {source} expects "
                f"{' or '.join(known)} there, or the name of a single file"
            )
        if path is not None:
            yield from ((split, sentence) for sentence in read(path))
