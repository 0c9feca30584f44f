"""params.yaml as frozen, typed sections, one a stage; anything unknown or ill-typed is refused."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import UserError

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
MethodName = Literal["vanilla", "co-tuning"]


class Section(BaseModel):
    """A section of params.yaml: immutable, and strict about names and types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Compute(Section):
    """Where the network runs. `auto` takes a GPU and bfloat16 where there are any."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class SourceModel(Section):
    """The pre-trained classifier.

    `weights` is `published`, the name of a torchvision weights entry such as IMAGENET1K_V1, or
    the path of a local state dict (.safetensors, .pt, .pth). `input_size` is the side, in
    pixels, of the square crop that enters the network.
    """

    name: str = "efficientnet-lite0"
    weights: str = "published"
    input_size: Annotated[int, Field(ge=8)] = 64


class PrepareData(Section):
    """Which images, how many of each class, and the side, in pixels, of the stored squares."""

    source: Literal["fashion-mnist", "image-folder"] = "fashion-mnist"
    root: str = "data/raw"
    stored_size: Annotated[int, Field(ge=8)] = 72
    images_per_class: Annotated[int, Field(ge=2)] | None = 100
    val_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    test_limit: Count | None = None
    source_validation: str | None = None
    on_bad_image: Literal["stop", "skip"] = "stop"


class ExtractLogits(Section):
    batch_size: Count = 128


class Calibrate(Section):
    """`temperature` is read by method `fixed` alone."""

    method: Literal["target-likelihood", "source-validation", "fixed"] = "target-likelihood"
    temperature: Positive = 1.0


class Training(Section):
    """How a network is trained; sizes in images, lengths in epochs, rates per step."""

    epochs: Count = 12
    batch_size: Annotated[int, Field(ge=2)] = 48
    learning_rate: Positive = 0.003
    target_head_factor: Positive = 10.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NonNegative = 5e-4
    schedule: Literal["cosine", "step"] = "cosine"
    step_epochs: tuple[Count, ...] = Field(default=(8,), strict=False)
    step_factor: Fraction = 0.1
    max_gradient_norm: Positive | None = None


class Tune(Training):
    """The search over the source weight and the temperature, and how a trial is trained.

    `source_weight` and `temperature_factor` (of the calibrated temperature) are the first
    co-tuning trial, and what is passed on with `trials: 0`.
    """

    trials: Annotated[int, Field(ge=0)] = 6
    source_weight: NonNegative = 2.3
    temperature_factor: Positive = 1.0
    max_source_weight: Positive = 5.0
    max_temperature_factor: Annotated[float, Field(gt=1)] = 2.0

    @model_validator(mode="after")
    def _start_lies_in_the_search_space(self) -> "Tune":
        if self.source_weight > self.max_source_weight:
            raise ValueError(
                f"source_weight {self.source_weight} exceeds max_source_weight "
                f"{self.max_source_weight}"
            )
        highest = self.max_temperature_factor
        if not 1 / highest <= self.temperature_factor <= highest:
            raise ValueError(
                f"temperature_factor {self.temperature_factor} lies outside "
                f"[1/{highest}, {highest}], the range that max_temperature_factor gives"
            )
        return self


class FitRelationship(Section):
    direction: Literal["reverse", "direct"] = "reverse"
    top_categories: Count = 5


class FineTune(Training):
    methods: tuple[MethodName, ...] = Field(
        default=("vanilla", "co-tuning"), strict=False, min_length=1
    )


class Evaluate(Section):
    batch_size: Count = 256
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 1000


class Report(Section):
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 10_000


class Params(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    compute: Compute = Compute()
    source_model: SourceModel = SourceModel()
    prepare_data: PrepareData = PrepareData()
    extract_logits: ExtractLogits = ExtractLogits()
    calibrate: Calibrate = Calibrate()
    tune: Tune = Tune()
    fit_relationship: FitRelationship = FitRelationship()
    fine_tune: FineTune = FineTune()
    evaluate: Evaluate = Evaluate()
    report: Report = Report()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "Params":
        if self.source_model.input_size > self.prepare_data.stored_size:
            raise ValueError(
                f"source_model.input_size {self.source_model.input_size} exceeds "
                f"prepare_data.stored_size {self.prepare_data.stored_size}; "
                "crops are cut from the stored images"
            )
        if (
            self.calibrate.method == "source-validation"
            and self.prepare_data.source_validation is None
        ):
            raise ValueError(
                "calibrate.method source-validation needs prepare_data.source_validation, "
                "a folder of labelled images of the source categories"
            )
        return self


def load(path: Path, overrides: Sequence[str] = ()) -> Params:
    """Read and check the whole of params.yaml.

    Args:
        path: of params.yaml; a section or value left out has its default.
        overrides: `section.name=value`, the value in YAML; they win over the file.

    Raises:
        UserError: the file is missing or is no YAML, or a name or value is not accepted.
    """
    try:
        values = YAML(typ="safe").load(path.read_text()) or {}
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; run this inside the project, beside dvc.yaml"
        ) from None
    except YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    for override in overrides:
        _apply(values, override)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(path.name, error.errors())) from None


def check_method(name: str) -> None:
    """Refuse, with a UserError that proposes the nearest, what is no method's name."""
    methods = get_args(MethodName)
    if name not in methods:
        close = difflib.get_close_matches(name, methods, n=1, cutoff=0.0)[0]
        raise UserError(f"--method: {name!r} is no method; did you mean {close}?")


def _apply(values: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    if not separator:
        raise UserError(f"--set {override}: expected section.name=value")
    *sections, key = name.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"--set {override}: {section} is a value, not a section")
    try:
        values[key] = YAML(typ="safe").load(text)
    except YAMLError:
        raise UserError(f"--set {override}: the value is not valid YAML") from None


def _explain(file: str, errors: Sequence[ErrorDetails]) -> str:
    first = errors[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        message = f"{name} is not a parameter; did you mean {_nearest(name)}?"
    elif first["type"] == "value_error":
        message = f"{name}: " if name else ""
        message += str(first["ctx"]["error"])
    else:
        message = f"{name or 'the file'}: got {first['input']!r}; {first['msg']}"
    further = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{file}: {message}{further}"


def _nearest(name: str) -> str:
    section = name.rpartition(".")[0]
    names = _names(Params)
    siblings = [other for other in names if section and other.startswith(f"{section}.")]
    return difflib.get_close_matches(name, siblings or names, n=1, cutoff=0.0)[0]


def _names(section: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in section.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _names(field.annotation, f"{prefix}{name}.")
    return names
