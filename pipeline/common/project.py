"""Where the project lies."""

import os
from pathlib import Path


def project_root() -> Path:
    """The nearest folder upwards with a params.yaml, which is where `dvc repro` runs a stage.

    Falls back to the working directory where there is none.
    """
    return _nearest(Path.cwd(), "params.yaml")


def main_root(root: Path) -> Path:
    """The folder of the main pipeline, for `root` within it.

    A sub-project of DVC, as experiments/ or what `cot init --as` makes, links to its code.
    """
    repository = _nearest(root, ".dvc")
    code = repository / "pipeline"
    return code.resolve().parent if code.is_symlink() else repository


def tracking_root(root: Path) -> Path:
    """The folder of the runs' database: of the main pipeline.

    Of an experiment that DVC runs in a temporary copy it is the one of the project copied.
    """
    return main_root(Path(os.environ.get("DVC_ROOT", root)))


def definition(root: Path) -> Path:
    """The dvc.yaml of a folder's stages; that of a study lies beside the folder."""
    own, shared = root / "dvc.yaml", root.parent / "dvc.yaml"
    is_study = not own.exists() and shared.exists()
    return shared if is_study else own


def _nearest(start: Path, name: str) -> Path:
    return next((folder for folder in (start, *start.parents) if (folder / name).exists()), start)
