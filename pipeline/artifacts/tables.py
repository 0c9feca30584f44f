"""The tables among the artifacts: which columns each has, of which type and in which range."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api import types

SPLITS = ("train", "validation", "test", "source-validation")
KINDS = {
    "whole": (types.is_integer_dtype, "whole numbers"),
    "number": (types.is_numeric_dtype, "numbers"),
    "truth": (types.is_bool_dtype, "True or False"),
    "text": (types.is_string_dtype, "text"),
}


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        kind: of its values.
        low, high: the range of numbers, both included.
        may_lack: whether some values may be absent; they are NaN then.
    """

    kind: Literal["whole", "number", "truth", "text"]
    low: float = -np.inf
    high: float = np.inf
    may_lack: bool = False


Columns = Mapping[str, Column]

COUNT, SHARE = Column("whole", 0), Column("number", 0, 1)
TEXT, LOSS = Column("text"), Column("number", 0)
GIVEN = Column("number", may_lack=True)
MANIFEST: Columns = {"row": COUNT, "split": TEXT, "label": COUNT, "path": TEXT}
HISTORY: Columns = {
    **{"epoch": Column("whole", 1), "learning_rate": LOSS, "kept": Column("truth")},
    **{"validation_nll": LOSS, "validation_accuracy": SHARE},
}
PREDICTIONS: Columns = {
    **{"row": COUNT, "path": TEXT, "label": COUNT, "prediction": COUNT},
    **{"confidence": SHARE, "nll": LOSS, "calibrated_confidence": SHARE, "calibrated_nll": LOSS},
}
TRIALS: Columns = {
    **{"number": COUNT, "state": TEXT, "source_weight": LOSS, "temperature": LOSS},
    **dict.fromkeys(("held_out_nll", "held_out_accuracy", "gain", "gain_low", "gain_high"), GIVEN),
}
TOP_CATEGORIES: Columns = {
    **{"class": TEXT, "rank": Column("whole", 1), "category": Column("text", may_lack=True)},
    "probability": Column("number", 0, 1 + 1e-6),
}
CELLS: Columns = {
    **{"images_per_class": Column("whole", 1), "steps": Column("whole", 1), "row": TEXT},
    **{"taught_by": TEXT, "seed": COUNT, "learning_rate": LOSS, "source_weight": LOSS},
    "swept": Column("text", may_lack=True),
}
STEP_TIMES: Columns = {
    "method": TEXT,
    **{
        f"{kind}_{name}": LOSS
        for kind in ("step", "inference")
        for name in ("ms", "ratio", "ratio_low", "ratio_high")
    },
}


def read_table(path: Path, columns: Columns) -> pd.DataFrame:
    """A table with at least these columns, one row or more, and no value out of place.

    Raises:
        ValueError: it is no such table; the message says what is wrong.
    """
    texts = {name: str for name, column in columns.items() if column.kind == "text"}
    # A class may be called NA.
    table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    if lacking := [name for name in columns if name not in table]:
        raise ValueError(f"it lacks the column {lacking[0]}")
    if table.empty:
        raise ValueError("it has no rows")
    for name, column in columns.items():
        _check(name, table[name], column)
    return table


def _check(name: str, values: "pd.Series[float]", column: Column) -> None:
    absent = values.isna()
    if absent.any() and not column.may_lack:
        raise ValueError(f"{name} has no value in line {absent.argmax() + 2}")
    is_kind, words = KINDS[column.kind]
    if not (absent.all() or is_kind(values.dtype)):
        raise ValueError(f"{name} has values that are not {words}")
    if column.kind in ("whole", "number"):
        odd = values[~absent & ~(values.between(column.low, column.high) & np.isfinite(values))]
        if len(odd):
            bounds = f"{column.low:g} to {column.high:g}"
            raise ValueError(f"{name} has {odd.iloc[0]:g}, expected {bounds}")


def check_manifest(manifest: pd.DataFrame, classes: int, source_folders: int, images: int) -> None:
    """Whether a manifest fits the classes and the stored images, of which each row has one.

    Raises:
        ValueError: it does not.
    """
    splits, rows, labels = manifest["split"], manifest["row"], manifest["label"]
    if odd := sorted(set(splits) - set(SPLITS)):
        raise ValueError(f"{odd[0]!r} is no split")
    for split in SPLITS[:2]:
        if not (splits == split).any():
            raise ValueError(f"it has no {split} images")
    if rows.duplicated().any():
        raise ValueError(f"row {rows[rows.duplicated()].iloc[0]} is there more than once")
    if rows.max() >= images:
        raise ValueError(f"it has row {rows.max()}, and images.npy has {images} images")
    is_source = splits == SPLITS[3]
    for name, part, count in (
        ("classes", labels[~is_source], classes),
        ("source folders", labels[is_source], source_folders),
    ):
        if len(part) and part.max() >= count:
            raise ValueError(f"it has label {part.max()}, and classes.json has {count} {name}")
    if missing := sorted(set(range(classes)) - set(labels[splits == SPLITS[0]])):
        raise ValueError(f"class {missing[0]} has no training image")
