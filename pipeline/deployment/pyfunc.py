"""A model in MLflow's own form that is a script with its artifacts; nothing in it is unpickled."""

import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Program:
    """What MLflow runs to serve a model, with what that needs beside the model's artifacts.

    Attributes:
        script: models-from-code, as MLflow calls it.
        code: what it imports of this project, as paths from the project's root, packages by their
            __init__.py.
        requirements: the packages that it and this code import, by the names that pip has.
    """

    script: Path
    code: Sequence[str]
    requirements: Sequence[str]


def save_pyfunc(
    program: Program, artifacts: Mapping[str, Path], folder: Path, **about: Any
) -> None:
    """Write a model that needs the program's packages, as they are installed, not the project.

    Args:
        artifacts: files or folders by the names that the script knows them by.
        folder: empty.
        about: what MLflow stores with it: signature, input_example, metadata, model_config.
    """
    with _copied(program.code) as code, _unchanged_path():
        _pyfunc().save_model(
            folder,
            python_model=str(program.script),
            artifacts={name: str(path) for name, path in artifacts.items()},
            code_paths=[str(code)],
            pip_requirements=[f"{name}=={_public(name)}" for name in program.requirements],
            **about,
        )


def load_pyfunc(folder: Path) -> Any:
    """What save_pyfunc wrote, as its users load it."""
    with _unchanged_path():
        return _pyfunc().load_model(str(folder))


def _pyfunc() -> Any:
    """The part of MLflow, which else talks about each step."""
    import mlflow
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    return mlflow.pyfunc


def _public(name: str) -> str:
    """The installed version without its builder's mark, as +cpu, which no index of packages has."""
    return version(name).partition("+")[0]


@contextmanager
def _unchanged_path() -> Iterator[None]:
    """MLflow leaves a model's own code before this project's on the path of modules."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path = before


@contextmanager
def _copied(code: Sequence[str]) -> Iterator[Path]:
    """A folder `pipeline` with these files of it."""
    with tempfile.TemporaryDirectory() as work:
        for name in code:
            place = Path(work) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, place)
        yield Path(work) / "pipeline"
