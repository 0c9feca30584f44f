"""What `cot doctor` looks at of a project of images."""

from collections.abc import Callable
from pathlib import Path

from pipeline.checks import Finding, images
from pipeline.params import Params


def checks_of(params: Params, root: Path) -> dict[str, Callable[[], Finding]]:
    """Checks by their titles."""
    return {
        "images": lambda: images.data_folder(params, root),
        "disk": lambda: images.room(params, root),
    }
