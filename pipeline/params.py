"""params.yaml as frozen, typed sections, one a stage; anything unknown or ill-typed is refused."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.claims_sections import FineTuneCells, TimeSteps, TuneMethods
from pipeline.errors import UserError
from pipeline.sections import (
    BASELINE,
    PARTS,
    Calibrate,
    Compute,
    Evaluate,
    ExtractLogits,
    FineTune,
    FitRelationship,
    MethodName,
    PrepareData,
    Report,
    Section,
    SourceModel,
    Tune,
)


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
    tune_methods: TuneMethods = TuneMethods()
    fine_tune_cells: FineTuneCells = FineTuneCells()
    time_steps: TimeSteps = TimeSteps()

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
        if shared := sorted(set(self.tune_methods.seeds) & set(self.fine_tune_cells.seeds)):
            raise ValueError(
                f"seed {shared[0]} is in tune_methods.seeds and in fine_tune_cells.seeds; "
                "settings must be chosen on samples that the table does not use"
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
    try:
        TypeAdapter(MethodName).validate_python(name)
    except ValidationError as error:
        close = difflib.get_close_matches(name, (BASELINE, *PARTS), n=1, cutoff=0.0)[0]
        reason = error.errors()[0]["ctx"]["error"]
        raise UserError(f"--method: {reason}; did you mean {close}?") from None


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
