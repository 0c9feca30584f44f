"""params.yaml as frozen, typed sections, one a stage; anything unknown or ill-typed is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML

from pipeline.common.errors import UserError, nearest, one_line, shortened
from pipeline.common.files import write_aside
from pipeline.params.image_params import Params
from pipeline.params.language_sections import TEXT_SOURCES, LanguageParams
from pipeline.params.methods import NAMES, MethodName
from pipeline.params.samples import SampledParams

Whole = TypeVar("Whole", bound=SampledParams)


def load(path: Path, overrides: Sequence[str] = (), overlay: Path | None = None) -> Params:
    """As load_project, of a project of images.

    Raises:
        UserError: as load_project; or the project is one of text.
    """
    params = load_project(path, overrides, overlay)
    if not isinstance(params, Params):
        raise UserError(
            f"{path} is of text (prepare_data.source: {params.prepare_data.source}), for which "
            "this command is not made; `cot stage` and `dvc repro` are"
        )
    return params


def load_project(
    path: Path, overrides: Sequence[str] = (), overlay: Path | None = None
) -> Params | LanguageParams:
    """Read and check the whole of params.yaml; what it holds depends on the modality of the data.

    Args:
        path: of params.yaml; a section or value left out has its default.
        overrides: `section.name=value`, the value in YAML; they win over the files.
        overlay: a file of the same form whose values win over those of params.yaml.

    Raises:
        UserError: a file is missing or is no YAML, a name or value is not accepted, or it would
            make a project of images one of text.
    """
    values = _read(path, YAML(typ="safe"))
    name = path.name
    was_text = _is_text(values)
    if overlay is not None:
        _merge(values, _read_overlay(overlay, YAML(typ="safe")))
        name += f" with {overlay}"
    for override in overrides:
        _apply(values, override)
    if values and _is_text(values) != was_text and (path.stat().st_size or was_text):
        raise UserError(
            f"{name}: prepare_data.source {values['prepare_data'].get('source')} would make a "
            f"project of {'text one of images' if was_text else 'images one of text'}; "
            "`cot init` with --as makes a project of its own"
        )
    if _is_text(values):
        return _validated(LanguageParams, values, name)
    return _validated(Params, values, name)


def _is_text(values: Mapping[str, Any]) -> bool:
    section = values.get("prepare_data")
    return isinstance(section, Mapping) and section.get("source") in TEXT_SOURCES


def _validated(whole: type[Whole], values: Mapping[str, Any], name: str) -> Whole:
    try:
        return whole.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(name, whole, error.errors())) from None


def write_overlaid(path: Path, overlay: Path) -> list[str]:
    """Write an overlay's values into params.yaml; comments and all other lines are kept.

    Returns:
        What changed, a line a value, as in `fine_tune.iterations: null -> 9050`.

    Raises:
        UserError: as load() raises; params.yaml is left as it was.
    """
    before, after = (
        _flat(load_project(path, (), file).model_dump(mode="json")) for file in (None, overlay)
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
        old = values.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            _merge(old, value)
        elif isinstance(value, list) and isinstance(old, list):
            old[:] = value  # written as it was, in a line or an item a line, comments and all
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


def _explain(file: str, whole: type[BaseModel], errors: Sequence[ErrorDetails]) -> str:
    first = errors[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        message = f"{name} is not a parameter; did you mean {_nearest(name, whole)}?"
    elif first["type"] == "value_error":
        message = f"{name}: " if name else ""
        message += str(first["ctx"]["error"])
    else:
        message = f"{name or 'the file'}: got {shortened(repr(first['input']))}; {first['msg']}"
    further = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{file}: {message}{further}"


def _nearest(name: str, whole: type[BaseModel]) -> str:
    section = name.rpartition(".")[0]
    names = _names(whole)
    siblings = [other for other in names if section and other.startswith(f"{section}.")]
    return nearest(name, siblings or names)


def _names(section: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in section.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _names(field.annotation, f"{prefix}{name}.")
    return names
