"""The fenced blocks of README and docs/."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(kind: str) -> list[tuple[str, str]]:
    """Page and text of each fenced block of a kind."""
    return [
        (page.name, text)
        for page in PAGES
        for text in re.findall(rf"```{kind}\n(.*?)```", page.read_text(), flags=re.S)
    ]


def typed(text: str) -> list[str]:
    """The command lines of a console block, continued ones joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
