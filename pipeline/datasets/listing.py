"""What every source is read as: all its samples with their classes, and how to open one."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd
from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")
# Pillow goes by content, not by suffix: left to itself it would run Ghostscript on a renamed EPS.
IMAGE_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


class Read(Protocol):
    """Opens one sample by its path in the listing; can be pickled."""

    def __call__(self, path: str) -> Image.Image: ...

    def locate(self, path: str) -> str:
        """The full path, for messages."""


@dataclass(frozen=True)
class Listing:
    """All samples of a source.

    Attributes:
        samples: columns split (train, validation, test, or empty where the source publishes no
            split), class_name and path, what `read` opens it by.
        classes: names of the classes, in label order.
        read: opens a sample.
    """

    samples: pd.DataFrame
    classes: tuple[str, ...]
    read: Read


@dataclass(frozen=True)
class ImageFolderReader:
    """Opens image files, undecoded, by their path below a folder."""

    root: Path

    def __call__(self, path: str) -> Image.Image:
        require_regular(self.root / path)
        return Image.open(self.root / path, formats=IMAGE_FORMATS)

    def locate(self, path: str) -> str:
        return str(self.root / path)


def require_regular(path: Path) -> None:
    """Refuse, with a ValueError, a pipe or a device, which may be waited for without end.

    Raises:
        OSError: there is no such file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("no regular file")


def leads_out(path: str) -> bool:
    """Whether a path that a list names, to be taken below a folder, leaves that folder.

    >>> [leads_out(path) for path in ("a/b.jpg", "../b.jpg", "/b.jpg", "a/../../b.jpg")]
    [False, True, True, True]
    """
    return path.startswith(("/", "\\")) or ".." in path.replace("\\", "/").split("/")


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image: by its suffix, unless it is hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def name_some(names: Sequence[str], limit: int = 5) -> str:
    """The first few names, for a message.

    >>> name_some(["cat", "dog", "emu"], limit=2)
    'cat, dog and 1 more'
    """
    further = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {further} more" if further > 0 else "")
