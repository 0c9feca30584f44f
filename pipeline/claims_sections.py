"""The sections of params.yaml that steer the claims table, one a stage."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.sections import (
    BASELINE,
    CO_TUNING,
    Count,
    MethodName,
    NonNegative,
    Peers,
    Positive,
    Section,
)


class CellSettings(Section):
    """How a cell of the claims table is trained, as far as cells differ.

    `relationship` is the learned R, or a control in its place: uniform rows, or the learned
    rows given to other classes. `calibrated: false` leaves the temperature at 1.
    """

    method: MethodName = BASELINE
    learning_rate: Positive = 0.003
    source_weight: NonNegative = 2.3
    direction: Literal["reverse", "direct"] = "reverse"
    calibrated: bool = True
    relationship: Literal["learned", "uniform", "shuffled"] = "learned"
    peers: Peers = Peers()

    def changed(self, values: Mapping[str, Any]) -> "CellSettings":
        """With some values replaced, by dotted name such as peers.bss.strength."""
        nested = self.model_dump()
        for name, value in values.items():
            *sections, key = name.split(".")
            inner = nested
            for section in sections:
                inner = inner.setdefault(section, {})
            inner[key] = value
        return CellSettings.model_validate(nested)


class Rate(Section):
    """A sampling rate: images a class for training and validation, and steps of training."""

    images_per_class: Annotated[int, Field(ge=2)]
    steps: Count


class TuneMethods(Section):
    """The search for each method's settings, on samples that no cell of the table uses.

    `candidates` gives by method the values to try of each setting, in all combinations; every
    method has equally many. A method without an entry keeps the defaults.
    """

    rate: Rate = Rate(images_per_class=30, steps=120)
    seeds: tuple[Count, ...] = Field(default=(1000,), strict=False, min_length=1)
    candidates: dict[MethodName, dict[str, list[Any]]] = Field(default={})

    def combinations(self, method: str) -> list[CellSettings]:
        """All candidates of a method, the defaults alone where it has no entry."""
        values = self.candidates.get(method, {})
        start = CellSettings(method=method)
        products = itertools.product(*values.values())
        return [start.changed(dict(zip(values, product, strict=True))) for product in products]

    @model_validator(mode="after")
    def _equal_budget(self) -> "TuneMethods":
        budgets = {method: len(self.combinations(method)) for method in self.candidates}
        if len(set(budgets.values())) > 1:
            raise ValueError(f"every method must have equally many candidates, got {budgets}")
        return self


class FineTuneCells(Section):
    """The grid of the claims table.

    `variants` are further rows: co-tuning as tuned, with some settings replaced; they are
    trained at `variant_rates` (images a class) alone.
    """

    rates: tuple[Rate, ...] = Field(
        default=(Rate(images_per_class=20, steps=120),), strict=False, min_length=1
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(0, 1, 2), strict=False, min_length=1
    )
    methods: tuple[MethodName, ...] = Field(
        default=(BASELINE, CO_TUNING), strict=False, min_length=1
    )
    variants: dict[str, dict[str, Any]] = Field(default={})
    variant_rates: tuple[int, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _variants_are_settings(self) -> "FineTuneCells":
        for values in self.variants.values():
            CellSettings(method=CO_TUNING).changed(values)
        return self


class TimeSteps(Section):
    """How often each method's step is timed, in turns with the others."""

    rounds: Annotated[int, Field(ge=5)] = 40
