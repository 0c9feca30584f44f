"""What all sections of params.yaml are made of."""

from collections.abc import Hashable, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
MOST = 10**9  # of what is counted: more is a slip, and beyond what some functions take
Count = Annotated[int, Field(ge=1, le=MOST)]
SeveralCount = Annotated[int, Field(ge=2, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """A section of params.yaml: immutable, strict about names and types, every number finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def refuse_repeated(name: str, values: Sequence[Hashable]) -> None:
    """ValueError where a value is there twice."""
    if repeated := [value for value in values if values.count(value) > 1]:
        raise ValueError(f"{name}: {repeated[0]} is there more than once")
