"""A token a line, its tag in the last column, an empty line between sentences."""

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.language.listing import Sentence
from pipeline.language.readers.decoding import read_lines

DOCUMENT = "-DOCSTART-"
# Blanks and tabs alone: other spaces of Unicode stand within tokens of web text.
GAP = re.compile(r"[ \t]+")


def read_columns(path: Path, columns: int) -> Iterator[Sentence]:
    """The sentences of a file; lines of -DOCSTART- belong to none.

    Args:
        columns: how many each line has; the first is the token, the last its tag.

    Raises:
        UserError: a line has other columns, or the file no sentence.
    """
    rows: list[tuple[int, str, str]] = []
    found = False
    for number, line in enumerate([*read_lines(path), ""], 1):
        fields = GAP.split(line.rstrip(" \t"))
        is_between = fields == [""] or fields[0] == DOCUMENT
        if is_between and rows:
            lines, tokens, tags = zip(*rows, strict=True)
            yield Sentence(tokens, tags, str(path), lines)
            rows, found = [], True
        if is_between:
            continue
        if len(fields) != columns or not fields[0]:
            raise UserError(
                f"{path}:{number}: got {len(fields)} columns in {line!r}; expected {columns}: "
                f"token{', part of speech, chunk' if columns == 4 else ''} and tag, with blanks "
                "or a tab between them"
            )
        rows.append((number, fields[0], fields[-1]))
    if not found:
        raise UserError(f"{path} has no sentence; expected a token and its tag a line")
