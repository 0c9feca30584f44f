"""Names and values as MLflow takes them and as its users read them."""

import re
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Param

LONGEST = 500  # characters of a value


def as_params(values: Mapping[str, Any], prefix: str = "") -> list[Param]:
    """Parameters, flat or nested; a list as its values with commas between."""
    flat = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat += as_params(value, f"{prefix}{name}.")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            flat.append(Param(accepted(prefix + name), shown[:LONGEST]))
    return flat


def accepted(name: str) -> str:
    """A param's, metric's or tag's name as MLflow takes it: co-tuning_bss for co-tuning+bss."""
    return re.sub(r"[^\w .:/-]", "_", name)
