"""Where each artifact lies, its typed load and its atomic save.

torch, which takes seconds to load, is loaded with the first artifact that is made of tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import safetensors.numpy
from pydantic import TypeAdapter

from pipeline.common.errors import UserError
from pipeline.common.formats import read_json, write_csv, write_json
from pipeline.search.choice import Gain, Recommendation

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.datasets.batches import ImageSet


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


@dataclass(frozen=True)
class SplitLogits:
    """Source logits [N, source] float32, labels [N] and image rows [N] of one split."""

    logits: Tensor
    labels: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Calibration:
    """What calibrate found; negative log-likelihoods in nats, errors in [0, 1].

    Attributes:
        temperature: T > 0 of the source model.
        method: as in params.yaml.
        at_bound: the optimum lies on the bound of the search.
        nll_before, nll_after, ece_before, ece_after: at T = 1 and at T.
    """

    temperature: float
    method: str
    at_bound: bool
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float


@dataclass(frozen=True)
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

    source_weight: float
    temperature_factor: float
    trials: int = 0
    gains: Mapping[str, Gain] = field(default_factory=dict)
    recommendation: Recommendation | None = None


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


# What there is of every sample: folders seed-<n>, and two files.
OF_A_SAMPLE = ("calibrate", "fit-relationship", "fine-tune", "evaluate")
FILES_OF_A_SAMPLE = {
    ("prepare-data", "manifest.csv"): "manifests/seed-{}.csv",
    ("extract-logits", "logits.safetensors"): "logits/seed-{}.safetensors",
}


class Store:
    """The artifacts below <root>/data, one folder a stage.

    Every load raises UserError naming the stage that makes a missing artifact; every save
    writes aside and renames.

    Args:
        root: the project's folder.
        sample: the one of fine_tune.seeds whose artifacts these are, where each has its own.
    """

    def __init__(self, root: Path, sample: int = 0) -> None:
        self.root = root
        self.sample = sample

    def folder(self, stage: str, method: str | None = None) -> Path:
        """data/<stage>/, below it <method>/ and, of what each sample has, seed-<n>/."""
        folder = self.root / "data" / stage
        folder = folder / method if method else folder
        return folder / f"seed-{self.sample}" if stage in OF_A_SAMPLE else folder

    def path(self, *names: str) -> Path:
        """data/<names...>, or the sample's own file where each has one."""
        stage, *folders, last = names
        if (stage, last) in FILES_OF_A_SAMPLE:
            last = FILES_OF_A_SAMPLE[stage, last].format(self.sample)
        return self.folder(stage, *folders) / last

    def work_folder(self, stage: str) -> Path:
        """What a stage keeps between runs outside its outputs: checkpoints, the tuning journal."""
        return self.root / ".work" / stage

    def require(self, *names: str) -> Path:
        """path(*names), which must exist; the first name is the stage."""
        path = self.path(*names)
        if not path.exists():
            raise UserError(
                f"{path.relative_to(self.root)} is missing; make it with `cot stage {names[0]}`, "
                "or everything with `dvc repro`"
            )
        return path

    def load_prepared(self) -> Prepared:
        manifest = pd.read_csv(self.require("prepare-data", "manifest.csv"))
        classes = read_json(self.require("prepare-data", "classes.json"))
        images = np.load(self.require("prepare-data", "images.npy"), mmap_mode="r")
        return Prepared(manifest, classes["classes"], classes["source_folders"], images)

    def load_classes(self) -> list[str]:
        """Names of the target classes, in label order."""
        return read_json(self.require("prepare-data", "classes.json"))["classes"]

    def require_test_images(self) -> None:
        """UserError where prepare-data drew no test split."""
        path = self.require("prepare-data", "manifest.csv")
        if not (pd.read_csv(path)["split"] == "test").any():
            raise UserError(
                f"{path.relative_to(self.root)} has no test images; set prepare_data.test_fraction "
                "to null, or to a share as 0.2, and run `cot stage prepare-data`"
            )

    def save_manifest(
        self, manifest: pd.DataFrame, classes: Sequence[str], source_folders: Sequence[str]
    ) -> None:
        write_csv(self.path("prepare-data", "manifest.csv"), manifest)
        write_json(
            self.path("prepare-data", "classes.json"),
            {"classes": list(classes), "source_folders": list(source_folders)},
        )

    def load_logits(self) -> dict[str, SplitLogits]:
        from safetensors.torch import load_file

        tensors = load_file(self.require("extract-logits", "logits.safetensors"))
        splits = dict.fromkeys(name.partition(".")[0] for name in tensors)
        return {
            split: SplitLogits(
                *(tensors[f"{split}.{part}"] for part in ("logits", "labels", "rows"))
            )
            for split in splits
        }

    def save_logits(self, splits: Mapping[str, SplitLogits], categories: tuple[str, ...]) -> None:
        from pipeline.common.tensors import write_tensors

        write_tensors(
            self.path("extract-logits", "logits.safetensors"),
            {
                f"{split}.{part}": getattr(logits, part)
                for split, logits in splits.items()
                for part in ("logits", "labels", "rows")
            },
        )
        write_json(self.path("extract-logits", "categories.json"), list(categories))

    def load_categories(self) -> list[str]:
        return read_json(self.require("extract-logits", "categories.json"))

    def load_calibration(self) -> Calibration:
        return Calibration(**read_json(self.require("calibrate", "calibration.json")))

    def save_calibration(self, calibration: Calibration) -> None:
        write_json(self.folder("calibrate") / "calibration.json", asdict(calibration))

    def load_best(self) -> Best:
        values = read_json(self.require("tune", "best.json"))
        return TypeAdapter(Best).validate_python(values)

    def save_best(self, best: Best) -> None:
        write_json(self.folder("tune") / "best.json", asdict(best))

    def load_relationship(self) -> Relationship:
        from safetensors.torch import load_file

        tensors = load_file(self.require("fit-relationship", "relationship.safetensors"))
        numbers = (float(tensors[name]) for name in ("temperature", "source_weight"))
        return Relationship(tensors["relationship"].float(), *numbers)

    def save_relationship(self, matrix: Tensor, temperature: float, source_weight: float) -> None:
        """R [target, source], in the precision that it has."""
        import torch

        from pipeline.common.tensors import write_tensors

        numbers = {"temperature": temperature, "source_weight": source_weight}
        tensors = {
            name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()
        }
        write_tensors(
            self.path("fit-relationship", "relationship.safetensors"),
            {"relationship": matrix} | tensors,
        )

    def load_relationship_array(self) -> np.ndarray:
        """R [target, source] in float32, for what only shows it."""
        path = self.require("fit-relationship", "relationship.safetensors")
        return safetensors.numpy.load_file(path)["relationship"].astype(np.float32)

    def load_model_state(self, method: str) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        return load_file(self.require("fine-tune", method, "model.safetensors"))

    def save_model_state(
        self, method: str, state: Mapping[str, Tensor], metadata: Mapping[str, str]
    ) -> None:
        from pipeline.common.tensors import write_tensors

        write_tensors(self.folder("fine-tune", method) / "model.safetensors", state, metadata)
