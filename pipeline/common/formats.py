"""Files of the formats that artifacts have; each is written whole or not at all."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.common.files import write_aside


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def write_json(path: Path, value: Any) -> None:
    with write_aside(path) as aside:
        aside.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    with write_aside(path) as aside:
        table.to_csv(aside, index=False)


def by_class(classes: Sequence[str], values: Sequence[float]) -> dict[str, float | None]:
    """One value for each class as JSON, by its name; None for NaN."""
    pairs = zip(classes, values, strict=True)
    return {name: None if math.isnan(value) else value for name, value in pairs}
