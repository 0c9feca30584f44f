"""What artifacts hold, with types and ranges that pydantic checks at the load of a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass as checked
from pydantic_core import from_json
from typing_extensions import TypedDict

from pipeline.common.errors import UserError
from pipeline.search.choice import Gain, Recommendation

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.datasets.batches import ImageSet

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Names = Annotated[list[str], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Prepared:
    """What prepare-data gives.

    Attributes:
        manifest: columns row, split (train, validation, test, source-validation), label, path.
        classes: names of the target classes, in label order.
        source_folders: folder names of the source-validation split, in its label order.
        images: uint8 [N, side, side, 3], row for row as in the manifest, memory-mapped.
    """

    manifest: pd.DataFrame
    classes: list[str]
    source_folders: list[str]
    images: np.ndarray

    def samples(self, split: str) -> pd.DataFrame:
        """The rows of the manifest of one split."""
        return self.manifest[self.manifest["split"] == split]

    def split(self, name: str) -> ImageSet:
        """The images of one split, in the manifest's order."""
        from pipeline.datasets.batches import ImageSet

        part = self.samples(name)
        rows, labels = (part[name].to_numpy(np.int64, copy=True) for name in ("row", "label"))
        return ImageSet(self.images, rows, labels)

    def require_size(self, input_size: int) -> None:
        """UserError where crops of so many pixels cannot be cut from the stored images."""
        if (stored := self.images.shape[1]) < input_size:
            raise UserError(
                f"source_model.input_size is {input_size} px, and the stored images have {stored} "
                "px: they were prepared with other params; `dvc repro` prepares them anew"
            )


@dataclass(frozen=True)
class SplitLogits:
    """Source logits [N, source] float32, labels [N] and image rows [N] of one split."""

    logits: Tensor
    labels: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Relationship:
    """What the source head is taught by.

    Attributes:
        matrix: R [target, source] in float32.
        temperature: T > 0 of the source predictions that it was learned from.
        source_weight: lambda > 0.
    """

    matrix: Tensor
    temperature: float
    source_weight: float


@checked(frozen=True)
class Classes:
    """Names of the target classes in label order, and of the folders of source images."""

    classes: Annotated[list[str], Field(min_length=2)]
    source_folders: list[str]

    @model_validator(mode="after")
    def _are_distinct(self) -> Classes:
        for name, values in (("classes", self.classes), ("source_folders", self.source_folders)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} has a name twice")
        return self


@checked(frozen=True)
class Calibration:
    """What calibrate found; negative log-likelihoods in nats, errors in [0, 1].

    Attributes:
        temperature: T > 0 of the source model.
        method: as in params.yaml.
        at_bound: the optimum lies on the bound of the search.
        nll_before, nll_after, ece_before, ece_after: at T = 1 and at T.
    """

    temperature: Positive
    method: str
    at_bound: bool
    nll_before: NonNegative
    nll_after: NonNegative
    ece_before: Share
    ece_after: Share


@checked(frozen=True)
class Best:
    """What tune chose, or passed on.

    Attributes:
        source_weight: lambda > 0, the best of Co-Tuning, whether or not it beats vanilla.
        temperature_factor: of the calibrated temperature of a sample.
        trials: finished trials behind the choice; 0 where params.yaml's values were passed on.
        gains: over vanilla on held-out images, of co-tuning and linear-probe; empty where no
            trial ran.
        recommendation: of one of these or vanilla; None where no trial ran.
    """

    source_weight: Positive
    temperature_factor: Positive
    trials: Annotated[int, Field(ge=0)] = 0
    gains: Mapping[str, Gain] = field(default_factory=dict)
    recommendation: Recommendation | None = None


class _Open(TypedDict):
    """Part of a JSON object; what else it holds is passed on as it is."""

    __pydantic_config__ = ConfigDict(extra="allow", allow_inf_nan=False)  # type: ignore[misc]


class _Knowledge(_Open):
    nats: float
    standard_error: float
    accuracy: Share
    log_likelihood: float


class _SimilarRows(_Open):
    first: str
    second: str
    cosine: float


class _Classifier(_Open):
    validation_accuracy: Share
    majority_accuracy: Share
    class_accuracy: dict[str, Share | None]
    inverse_regularization: Positive
    scale: float
    scale_at_bound: bool


class Diagnostics(_Open):
    """What fit-relationship says of the relationship; classes by name, scores in nats."""

    direction: str
    pseudo_samples: NonNegative
    selection: str
    knowledge: _Knowledge | None
    leep: float
    nce: float
    row_entropy: dict[str, NonNegative | None]
    most_similar_rows: _SimilarRows
    classifier: _Classifier
    warnings: list[str]


class Metrics(_Open):
    """What evaluate measured: as pipeline.report.metrics has it, with 95% intervals."""

    accuracy: Share
    mean_class_accuracy: Share
    nll: NonNegative
    ece: Share
    calibrated_nll: NonNegative
    calibrated_ece: Share
    own_temperature: Positive
    own_temperature_at_bound: float
    intervals: dict[str, tuple[float, float]]


class _Distance(_Open):
    mean: float


class SourceHead(_Open):
    """KL(R[y] || source head) in nats, before and after training, and of a uniform head."""

    before: _Distance
    after: _Distance
    uniform: _Distance


def read_checked(path: Path, kind: Any) -> Any:
    """The value of that type that a JSON file holds; no number in it is infinite or NaN.

    Raises:
        ValueError: it holds none; the message says where and why.
    """
    content = path.read_bytes()
    from_json(content, allow_inf_nan=False)
    try:
        return TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
