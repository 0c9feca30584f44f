"""A sentence a line, as JSON: {"tokens": ["In", "Rome"], "tags": ["O", "B-LOC"]}."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError
from pipeline.language.listing import Sentence
from pipeline.language.readers.decoding import read_lines


def read_json_lines(path: Path) -> Iterator[Sentence]:
    """The sentences of a file; empty lines are none.

    Raises:
        UserError: a line is no such JSON, a sentence has no token, or not a tag a token.
    """
    found = False
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            tokens, tags = _fields(line, f"{path}:{number}")
            yield Sentence(tokens, tags, str(path), (number,) * len(tokens))
            found = True
    if not found:
        raise UserError(f"{path} has no sentence; expected one a line")


def _fields(line: str, place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        value: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: no JSON: {error.msg} at character {error.pos}") from None
    given: list[Any] = [
        value.get(name) if isinstance(value, dict) else None for name in ("tokens", "tags")
    ]
    if not all(isinstance(part, list) and all(map(_is_text, part)) for part in given):
        raise UserError(f"{place}: expected the lists of texts `tokens` and `tags`")
    tokens, tags = (tuple(part) for part in given)
    if not tokens:
        raise UserError(f"{place}: a sentence without tokens; take the line out")
    if len(tokens) != len(tags):
        raise UserError(f"{place}: {len(tokens)} tokens and {len(tags)} tags; expected one each")
    return tokens, tags


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
