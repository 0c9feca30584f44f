"""Values that a command found, written into params.yaml."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.params.loading import write_overlaid


def write_values(path: Path, values: Mapping[str, Any]) -> list[str]:
    """Write values by section into params.yaml; comments and all other lines are kept.

    Returns:
        What changed, a line a value, as in `tune.trials: 2 -> 6`.

    Raises:
        UserError: the file or a value is not accepted; params.yaml is left as it was.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overlay:
        json.dump(values, overlay)
        overlay.flush()
        return write_overlaid(path, Path(overlay.name))
