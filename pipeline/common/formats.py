"""Files of the formats that artifacts have; each is written whole or not at all."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.common.files import write_aside


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def write_json(path: Path, value: Any) -> None:
    with write_aside(path) as aside:
        aside.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    with write_aside(path) as aside:
        table.to_csv(aside, index=False)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    with write_aside(path) as aside:
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, aside, metadata=dict(metadata or {}))


def read_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def by_class(classes: Sequence[str], values: Tensor) -> dict[str, float | None]:
    """One value [classes] for each class as JSON, by its name; None for NaN."""
    pairs = zip(classes, values.tolist(), strict=True)
    return {name: None if math.isnan(value) else value for name, value in pairs}
