"""The sections of params.yaml that steer the claims table, one a stage."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from pipeline.params.base import Count, NonNegative, Positive, Section, Seed, refuse_repeated
from pipeline.params.methods import BASELINE, CO_TUNING, MethodName, Peers
from pipeline.params.sections import Selection

SWEPT = ("steps", "learning_rate", "source_weight", "input_size")
# It becomes part of a file's name and of a query for runs.
RowName = Annotated[str, Field(pattern=r"^[\w .+-]+$")]


class CellSettings(Section):
    """How a cell of the claims table is trained, as far as cells differ.

    `relationship` is the learned R, or a control in its place: uniform rows, the source
    marginal in every row, the learned rows given to other classes, or the true R where it is
    known. `calibrated: false` leaves the temperature at 1. `steps` are those of the rate, and
    `input_size` that of source_model, where they are None.
    """

    method: MethodName = BASELINE
    learning_rate: Positive = 0.003
    source_weight: NonNegative = 2.3
    steps: Count | None = None
    input_size: Annotated[int, Field(ge=8)] | None = None
    direction: Literal["auto", "direct", "reverse"] = "auto"
    pseudo_samples: NonNegative = 0.0
    selection: Selection = "validation-accuracy"
    calibrated: bool = True
    relationship: Literal["learned", "uniform", "marginal", "shuffled", "truth"] = "learned"
    peers: Peers = Peers()

    @property
    def taught_by(self) -> str:
        """The method where its name says it; of Co-Tuning the way, or the control."""
        if CO_TUNING not in self.method.split("+"):
            return self.method
        if self.relationship != "learned":
            return self.relationship
        by_likelihood = self.selection == "cross-validated-likelihood"
        return "reverse by likelihood" if by_likelihood else self.direction

    def changed(self, values: Mapping[str, Any]) -> "CellSettings":
        """With some values replaced, by dotted name such as peers.bss.strength.

        Raises:
            ValueError: a name is no setting's, or a value is not accepted.
        """
        nested = self.model_dump()
        for name, value in values.items():
            *sections, key = name.split(".")
            inner = nested
            for section in sections:
                inner = inner.setdefault(section, {})
                if not isinstance(inner, dict):
                    raise ValueError(f"{name}: {section} is a value, not a section")
            inner[key] = value
        try:
            return CellSettings.model_validate(nested)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                raise ValueError(f"{place} is no setting of a cell") from None
            raise ValueError(f"{place}: got {first['input']!r}; {first['msg']}") from None


class Rate(Section):
    """A sampling rate: images a class for training and validation, and steps of training.

    `variants` names those that are trained at this rate.
    """

    images_per_class: Annotated[int, Field(ge=2)]
    steps: Count
    variants: tuple[str, ...] = Field(default=(), strict=False)


class TuneMethods(Section):
    """The search for each method's settings, on samples that no cell of the table uses.

    `candidates` gives by method the values to try of each setting, in all combinations; every
    method has equally many. A method without an entry keeps the defaults.
    """

    rate: Rate = Rate(images_per_class=30, steps=120)
    seeds: tuple[Count, ...] = Field(default=(1000,), strict=False, min_length=1)
    candidates: dict[MethodName, dict[str, Annotated[list[Any], Field(min_length=1)]]] = Field(
        default={}
    )

    def combinations(self, method: str) -> list[CellSettings]:
        """All candidates of a method, the defaults alone where it has no entry."""
        values = self.candidates.get(method, {})
        start = CellSettings(method=method)
        products = itertools.product(*values.values())
        try:
            return [start.changed(dict(zip(values, product, strict=True))) for product in products]
        except ValueError as error:
            raise ValueError(f"candidates.{method}: {error}") from None

    @model_validator(mode="after")
    def _equal_budget(self) -> "TuneMethods":
        budgets = {method: len(self.combinations(method)) for method in self.candidates}
        if len(set(budgets.values())) > 1:
            raise ValueError(f"every method must have equally many candidates, got {budgets}")
        return self


class FineTuneCells(Section):
    """The grid of the claims table.

    `variants` are further rows: co-tuning as tuned, with some settings replaced; each is trained
    at the rates that name it. `true_relationship` is a file of the R by which the images were
    made, where it is known, for variants with `relationship: truth`. `sweep` gives values of a
    setting: each row of the first rate is trained with each of them too.
    """

    rates: tuple[Rate, ...] = Field(
        default=(Rate(images_per_class=20, steps=120),), strict=False, min_length=1
    )
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), strict=False, min_length=1)
    methods: tuple[MethodName, ...] = Field(
        default=(BASELINE, CO_TUNING), strict=False, min_length=1
    )
    variants: dict[RowName, dict[str, Any]] = Field(default={})
    true_relationship: str | None = None
    sweep: dict[
        Literal["steps", "learning_rate", "source_weight", "input_size"], list[Positive]
    ] = Field(default={})

    @model_validator(mode="after")
    def _variants_are_settings(self) -> "FineTuneCells":
        if self.variants and CO_TUNING not in self.methods:
            raise ValueError(
                f"variants replace settings of {CO_TUNING} as tuned, so methods must hold it; "
                f"got {', '.join(self.methods)}"
            )
        if taken := sorted(self.variants.keys() & set(self.methods)):
            raise ValueError(f"{taken[0]} is a method; give the variant another name")
        for name, values in self.variants.items():
            try:
                settings = CellSettings(method=CO_TUNING).changed(values)
            except ValueError as error:
                raise ValueError(f"variants.{name}: {error}") from None
            if settings.relationship == "truth" and self.true_relationship is None:
                raise ValueError(
                    f"variants.{name}: relationship truth needs true_relationship, the file of it"
                )
        return self

    @model_validator(mode="after")
    def _cells_are_distinct(self) -> "FineTuneCells":
        refuse_repeated("rates", [rate.images_per_class for rate in self.rates])
        refuse_repeated("seeds", self.seeds)
        refuse_repeated("methods", self.methods)
        for rate in self.rates:
            refuse_repeated("rates.variants", rate.variants)
            if unknown := [name for name in rate.variants if name not in self.variants]:
                raise ValueError(f"rates: {unknown[0]} is none of the variants")
        return self


class TimeSteps(Section):
    """How often each method's step is timed, in turns with the others."""

    rounds: Annotated[int, Field(ge=5)] = 40


class GainAgainstKnowledge(Section):
    """The studies, folders beside this one, whose cells are held together."""

    studies: tuple[RowName, ...] = Field(default=("photographs",), strict=False, min_length=1)
