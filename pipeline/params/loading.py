"""params.yaml as frozen, typed sections, one a stage; anything unknown or ill-typed is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML

from pipeline.common.errors import UserError, nearest, one_line, shortened
from pipeline.common.files import write_aside
from pipeline.params.base import Section, Seed
from pipeline.params.claims_sections import (
    FineTuneCells,
    GainAgainstKnowledge,
    TimeSteps,
    TuneMethods,
)
from pipeline.params.methods import NAMES, MethodName
from pipeline.params.prepare_data_section import PrepareData
from pipeline.params.sections import (
    Calibrate,
    Compute,
    Evaluate,
    ExtractLogits,
    FineTune,
    FitRelationship,
    Report,
    SourceModel,
    Tune,
)


class Params(Section):
    """The whole of params.yaml."""

    seed: Seed = 0
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
    gain_against_knowledge: GainAgainstKnowledge = GainAgainstKnowledge()

    @property
    def sample(self) -> int:
        """The first of fine_tune.seeds."""
        return self.fine_tune.seeds[0]

    @property
    def sample_seed(self) -> int:
        """Of every draw of that sample: of its images, of heads, batches, crops and flips."""
        return self.seed + self.sample

    def of_sample(self, sample: int | None) -> "Params":
        """For a stage that works at this one of fine_tune.seeds; None is the first.

        Raises:
            UserError: it is none of them.
        """
        if sample is None:
            return self
        seeds = self.fine_tune.seeds
        if sample not in seeds:
            raise UserError(f"seed {sample} is none of fine_tune.seeds {list(seeds)}; add it there")
        training = self.fine_tune.model_copy(update={"seeds": (sample,)})
        return self.model_copy(update={"fine_tune": training})

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "Params":
        stored = self.prepare_data.stored_size
        swept = self.fine_tune_cells.sweep.get("input_size", [0])
        for name, size in (
            ("source_model.input_size", self.source_model.input_size),
            ("fine_tune_cells.sweep.input_size", max(swept)),
        ):
            if size != "auto" and stored != "auto" and size > stored:
                raise ValueError(
                    f"{name} {size:g} exceeds prepare_data.stored_size {stored}; it is cut from it"
                )
        by_source = self.calibrate.method == "source-validation"
        if by_source and self.prepare_data.source_validation is None:
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


def load(path: Path, overrides: Sequence[str] = (), overlay: Path | None = None) -> Params:
    """Read and check the whole of params.yaml.

    Args:
        path: of params.yaml; a section or value left out has its default.
        overrides: `section.name=value`, the value in YAML; they win over the files.
        overlay: a file of the same form whose values win over those of params.yaml.

    Raises:
        UserError: a file is missing or is no YAML, or a name or value is not accepted.
    """
    values = _read(path, YAML(typ="safe"))
    name = path.name
    if overlay is not None:
        _merge(values, _read_overlay(overlay, YAML(typ="safe")))
        name += f" with {overlay}"
    for override in overrides:
        _apply(values, override)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(name, error.errors())) from None


def write_overlaid(path: Path, overlay: Path) -> list[str]:
    """Write an overlay's values into params.yaml; comments and all other lines are kept.

    Returns:
        What changed, a line a value, as in `fine_tune.iterations: null -> 9050`.

    Raises:
        UserError: as load() raises; params.yaml is left as it was.
    """
    before, after = (
        _flat(load(path, (), file).model_dump(mode="json")) for file in (None, overlay)
    )
    yaml = YAML()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _represent_null)
    values = _read(path, yaml)
    _merge(values, _read_overlay(overlay, yaml))
    with write_aside(path) as aside, aside.open("w") as file:
        yaml.dump(values, file)
    return [
        f"{name}: {json.dumps(before.get(name))} -> {json.dumps(value)}"
        for name, value in after.items()
        if value != before.get(name)
    ]


def check_method(name: str) -> None:
    """Refuse, with a UserError that proposes the nearest, what is no method's name."""
    try:
        TypeAdapter(MethodName).validate_python(name)
    except ValidationError as error:
        reason = error.errors()[0]["ctx"]["error"]
        raise UserError(f"--method: {reason}; did you mean {nearest(name, NAMES)}?") from None


def _read(path: Path, yaml: YAML) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; run this inside the project, beside dvc.yaml"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; make it readable") from None
    except Exception as error:  # of YAML, of text in another encoding, of a date in month 13
        raise UserError(f"{path} is not valid YAML: {shortened(one_line(error))}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path.name}: the file: got {shortened(repr(values))}; expected sections")
    return values


def _read_overlay(path: Path, yaml: YAML) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"--overlay {path} is no file; those of the project lie in experiments/")
    return _read(path, yaml)


def _merge(values: Any, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(values.get(name), Mapping):
            _merge(values[name], value)
        else:
            values[name] = value


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return flat


def _represent_null(representer: Any, value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


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
    except Exception:  # as in _read
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
        message = f"{name or 'the file'}: got {shortened(repr(first['input']))}; {first['msg']}"
    further = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{file}: {message}{further}"


def _nearest(name: str) -> str:
    section = name.rpartition(".")[0]
    names = _names(Params)
    siblings = [other for other in names if section and other.startswith(f"{section}.")]
    return nearest(name, siblings or names)


def _names(section: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in section.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _names(field.annotation, f"{prefix}{name}.")
    return names
