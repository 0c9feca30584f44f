"""Where the project lies."""

import os
from pathlib import Path


def project_root() -> Path:
    """The folder of dvc.yaml: $DVC_ROOT inside `dvc repro`, else the nearest one upwards.

    Falls back to the working directory where there is none.
    """
    if "DVC_ROOT" in os.environ:
        return Path(os.environ["DVC_ROOT"])
    here = Path.cwd()
    return next(
        (folder for folder in (here, *here.parents) if (folder / "dvc.yaml").exists()), here
    )
