"""Export a fine-tuned model, and hold what was written against PyTorch on real images."""

import importlib
import importlib.util
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, cast

import numpy as np
from rich.console import Console

from pipeline.artifacts import Prepared, Store
from pipeline.common.errors import UserError, one_line
from pipeline.deployment.description import FILE, Description, describe
from pipeline.deployment.model_card import CARD, model_card
from pipeline.deployment.target_model import BATCH, TargetModel, load_target_model
from pipeline.params import Params
from pipeline.params.samples import SampledParams
from pipeline.params.sections import Compute

TOLERANCE = 1e-4
CHECKED = 200  # images, or sentences
# Squares uint8 [N, size, size, 3] to probabilities [N, classes].
Answer = Callable[[np.ndarray], np.ndarray]
Whole = TypeVar("Whole", bound=SampledParams)


class Form(Protocol):
    """What a file of pipeline.deployment.forms gives.

    Attributes:
        PACKAGES: that it imports and that are not installed without EXTRA, an optional
            dependency of this project.
    """

    PACKAGES: tuple[str, ...]
    EXTRA: str

    def refuse(self, source: str) -> None:
        """UserError where a source model, by its name in params.yaml, has no such form."""

    def write(self, model: TargetModel, description: Description, folder: Path) -> None: ...

    def load(self, folder: Path) -> Answer:
        """As a user of the form would load it."""

    def loading(self, description: Description) -> str:
        """Lines of Python that do that, for the model card."""


@dataclass(frozen=True)
class Agreement:
    """Of an export with PyTorch in float32 on the CPU.

    Attributes:
        images: that both saw.
        same_class: of these, how many both put into the same class.
        largest_difference: of any probability.
    """

    images: int
    same_class: int
    largest_difference: float


def form_named(name: str, source: str) -> Form:
    """The module of a form, as hugging-face.

    Args:
        source: the source model's name in params.yaml.

    Raises:
        UserError: the source model has no such form, or a package is not installed.
    """
    found = importlib.import_module(f"pipeline.deployment.forms.{name.replace('-', '_')}")
    form = cast(Form, found)
    form.refuse(source)
    missing = [name for name in form.PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"cot export {name} needs {', '.join(missing)}, which is not installed; "
            f"run pip install '.[{form.EXTRA}]'"
        )
    return form


def tell_exported(folder: Path, text: str) -> None:
    """Say on one line where an export is and what was found of it."""
    here = Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    Console().print(f"{shown}: {text}", markup=False, highlight=False, soft_wrap=True)


def require_replaceable(folder: Path) -> None:
    """UserError where something else than an export or an empty folder lies there."""
    if not folder.exists() or (folder / FILE).exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UserError(
            f"{folder} exists and is no exported model, and is not overwritten; "
            "name a folder that does not exist"
        )


def export(
    store: Store, params: Params, form: Form, method: str, folder: Path
) -> tuple[Description, Agreement]:
    """Export what a method trained.

    Args:
        folder: empty.

    Raises:
        UserError: see load_target_model and write_export.
    """
    model = load_target_model(store, as_everywhere(params), method)
    description = describe(store, params, model)
    images = some_images(store.load_prepared())
    return description, write_export(form, model, description, images, folder)


def write_export(
    form: Form, model: TargetModel, description: Description, images: np.ndarray, folder: Path
) -> Agreement:
    """Write a model, its description and its card, load it again and hold it against PyTorch.

    Args:
        model: on the CPU, in float32.
        images: uint8 [N, stored_size, stored_size, 3].
        folder: empty.

    Raises:
        UserError: it cannot be written in this form, or answers otherwise than PyTorch.
    """
    name = description.source_model["name"]
    with converting(name):
        form.write(model, description, folder)
    description.save(folder)
    (folder / CARD).write_text(model_card(description, form.loading(description)))
    with converting(name):
        found = in_batches(form.load(folder), images)
    agreement = compare(model.probabilities(images).numpy(), found)
    if agreement.largest_difference > TOLERANCE:
        raise UserError(
            f"the exported model gives other probabilities than PyTorch, by up to "
            f"{agreement.largest_difference:.1e} on {agreement.images} images (at most "
            f"{TOLERANCE:.0e} is accepted), so it was not kept; choose another form"
        )
    return agreement


def as_everywhere(params: Whole) -> Whole:
    """Params that compute in float32 on the CPU: what leaves the project runs anywhere, and is held
    against what is the same everywhere.
    """
    return params.model_copy(update={"compute": Compute(device="cpu", precision="float32")})


@contextmanager
def converting(source: str) -> Iterator[None]:
    """UserError that names the source model where what is done within fails."""
    try:
        yield
    except Exception as error:  # a converter's own, of an operation that it does not know
        raise UserError(
            f"{source} cannot be written in this form and loaded again: {one_line(error)[:160]}; "
            "choose another form"
        ) from error


def in_batches(answer: Answer, images: np.ndarray) -> np.ndarray:
    """One image, then batches, then what is left: an export must take any number."""
    places = [0, *range(1, len(images), BATCH), len(images)]
    pairs = itertools.pairwise(places)
    return np.concatenate([answer(images[first:last]) for first, last in pairs if last > first])


def compare(expected: np.ndarray, found: np.ndarray) -> Agreement:
    """Of probabilities [N, classes]."""
    same = expected.argmax(axis=1) == found.argmax(axis=1)
    return Agreement(len(same), int(same.sum()), float(np.abs(expected - found).max()))


def some_images(prepared: Prepared, count: int = CHECKED) -> np.ndarray:
    """Up to so many of the test images, or of the validation images where there is no test split,
    uint8 [N, size, size, 3], spread over all.
    """
    split = "test" if (prepared.manifest["split"] == "test").any() else "validation"
    rows = prepared.split(split).rows
    return np.asarray(prepared.images[rows[spread(len(rows), count)]])


def spread(size: int, count: int = CHECKED) -> np.ndarray:
    """Up to so many places from 0 to before `size`, spread over all."""
    return np.linspace(0, size - 1, min(count, size)).round().astype(int)
