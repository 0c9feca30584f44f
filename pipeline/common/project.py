"""Where the project lies."""

from pathlib import Path


def project_root() -> Path:
    """The nearest folder upwards with a params.yaml, which is where `dvc repro` runs a stage.

    Falls back to the working directory where there is none.
    """
    return _nearest(Path.cwd(), "params.yaml")


def tracking_root(root: Path) -> Path:
    """The folder of the runs' database: of the repository that a pipeline's folder lies in."""
    return _nearest(root, ".dvc")


def _nearest(start: Path, name: str) -> Path:
    return next((folder for folder in (start, *start.parents) if (folder / name).exists()), start)
