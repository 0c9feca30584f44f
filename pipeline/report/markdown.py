"""Tables and numbers in Markdown."""

import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells of the rows are plain text, the header is taken as it is."""
    lines = [header, ["---"] * len(header), *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Plain text in one line, without what Markdown would take for its own."""
    return re.sub(r"([\\|*`$\[\]]|<(?=\S))", r"\\\1", " ".join(text.split()))


def points(difference: float) -> str:
    """A difference of two fractions in percentage points: `+3.4`."""
    return f"{100 * difference:+.1f}"
