"""A pyfunc model of MLflow that takes sentences: a token classifier and a script, no pickle."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

SCRIPT = Path(__file__).with_name("serving.py")
# What the script imports of the project, packages by their __init__.py.
CODE = (
    "pipeline/__init__.py",
    "pipeline/common/__init__.py",
    "pipeline/common/errors.py",
    "pipeline/common/files.py",
    "pipeline/common/tensors.py",
    "pipeline/language/__init__.py",
    "pipeline/language/batches.py",
    "pipeline/language/inputs.py",
    "pipeline/language/listing.py",
    "pipeline/language/spans.py",
    "pipeline/language/tag_schemes.py",
    "pipeline/language/tokens.py",
)
REQUIREMENTS = ("mlflow", "numpy", "pandas", "safetensors", "seqeval", "torch", "transformers")
LOADING = """\
import mlflow, pandas as pd

model = mlflow.pyfunc.load_model(".")
found = model.predict(pd.DataFrame({"text": ["Ann Smith sleeps in Rome ."]}))
for entity in found["entities"][0]:
    print(entity["type"], entity["text"], entity["probability"])
"""


def about(types: Sequence[str], method: str, longest: int) -> dict[str, Any]:
    """What MLflow stores with the model.

    Args:
        longest: sub-words that enter at once.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, Object, Property, Schema

    kinds = {"first": "long", "end": "long", "text": "string", "type": "string"}
    kinds["probability"] = "double"
    entity = Object([Property(name, kind) for name, kind in kinds.items()])
    texts, entities = ColSpec("string", "text"), ColSpec(Array(entity), "entities")
    return {
        "signature": ModelSignature(Schema([texts]), Schema([entities])),
        "input_example": pd.DataFrame({"text": ["Ann Smith sleeps in Rome ."]}),
        "metadata": {"types": list(types), "method": method},
        "model_config": {"longest": longest},
    }


def entity_difference(
    expected: Sequence[Sequence[dict[str, Any]]], found: Sequence[Sequence[dict[str, Any]]]
) -> float:
    """The largest one of the probabilities of the same entities; infinite where others are found.

    Args:
        expected, found: of each line, as entities_by_line has them.
    """
    if [list(map(_span, one)) for one in expected] != [list(map(_span, one)) for one in found]:
        return math.inf
    pairs = zip(_probabilities(expected), _probabilities(found), strict=True)
    return max((abs(one - other) for one, other in pairs), default=0.0)


def _span(entity: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entity[name] for name in ("first", "end", "text", "type"))


def _probabilities(lines: Sequence[Sequence[dict[str, Any]]]) -> list[float]:
    return [entity["probability"] for line in lines for entity in line]
