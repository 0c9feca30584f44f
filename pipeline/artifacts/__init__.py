"""Where each artifact lies, its typed load and its atomic save.

`Store` is the door. What artifacts hold is in `contents` (JSON), `tables` and `tensors`; whatever
is wrong with a file ends in one line that says what makes it again.
"""

from pipeline.artifacts.contents import (
    Best,
    Calibration,
    Classes,
    Diagnostics,
    Metrics,
    Prepared,
    Relationship,
    SourceHead,
    SplitLogits,
    read_checked,
)
from pipeline.artifacts.store import Store

__all__ = [
    "Best",
    "Calibration",
    "Classes",
    "Diagnostics",
    "Metrics",
    "Prepared",
    "Relationship",
    "SourceHead",
    "SplitLogits",
    "Store",
    "images",
    "places",
    "read_checked",
    "tables",
    "tensors",
]
