"""Each artifact's load and save.

torch, which takes seconds to load, is loaded with the first artifact that is made of tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import safetensors.numpy

from pipeline.artifacts import images, tables
from pipeline.artifacts.contents import (
    Best,
    Calibration,
    Classes,
    Names,
    Prepared,
    Relationship,
    SplitLogits,
    read_checked,
)
from pipeline.artifacts.places import Places
from pipeline.common.damage import damaged
from pipeline.common.errors import UserError
from pipeline.common.formats import write_csv, write_json
from pipeline.datasets.sizes import Sizes
from pipeline.params.claims_sections import CellSettings

if TYPE_CHECKING:
    from torch import Tensor, nn


class Store(Places):
    """The artifacts, each with its load and save.

    Every load raises UserError naming the stage that makes a missing or damaged artifact; every
    save writes aside and renames.
    """

    def load_prepared(self) -> Prepared:
        with self.whole("prepare-data", "images.npy") as path:
            stored = images.read_images(path)
        names = self.load_json(Classes, "prepare-data", "classes.json")
        with self.whole("prepare-data", "manifest.csv") as path:
            manifest = tables.read_table(path, tables.MANIFEST)
            counts = len(names.classes), len(names.source_folders), len(stored)
            tables.check_manifest(manifest, *counts)
        return Prepared(manifest, names.classes, names.source_folders, stored)

    def load_manifest(self) -> pd.DataFrame:
        """Columns row, split, label and path, where the images themselves are not needed."""
        return self.load_table(tables.MANIFEST, "prepare-data", "manifest.csv")

    def load_classes(self) -> list[str]:
        """Names of the target classes, in label order."""
        found: Classes = self.load_json(Classes, "prepare-data", "classes.json")
        return found.classes

    def require_test_images(self) -> None:
        """UserError where prepare-data drew no test split."""
        if not (self.load_manifest()["split"] == "test").any():
            path = self.path("prepare-data", "manifest.csv")
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

    def load_logits(
        self, prepared: Prepared | None = None, categories: int | None = None
    ) -> dict[str, SplitLogits]:
        """Of each split.

        Args:
            prepared, categories: whose images and how many source categories they must be of,
                where the caller has them at hand.
        """
        from pipeline.artifacts import tensors

        with self.whole("extract-logits", "logits.safetensors") as path:
            splits = tensors.read_logits(path, len(self.load_classes()))
            if prepared is not None:
                tensors.check_same_images(splits, prepared.manifest)
            tensors.check_sources(splits["train"].logits.shape[1], categories)
        return splits

    def save_logits(self, splits: Mapping[str, SplitLogits], categories: tuple[str, ...]) -> None:
        from pipeline.artifacts.tensors import PARTS
        from pipeline.common.tensors import write_tensors

        write_tensors(
            self.path("extract-logits", "logits.safetensors"),
            {
                f"{split}.{part}": getattr(logits, part)
                for split, logits in splits.items()
                for part in PARTS
            },
        )
        write_json(self.path("extract-logits", "categories.json"), list(categories))

    def load_categories(self) -> list[str]:
        """Names of the source categories, in the order of the logits."""
        found: list[str] = self.load_json(Names, "extract-logits", "categories.json")
        return found

    def load_sizes(self) -> Sizes:
        with self.whole("extract-logits", "sizes.json") as path:
            found: Sizes = read_checked(path, Sizes)
            if not 0 < found.network_input <= found.stored:
                raise ValueError(f"{found.network_input} px are not cut from {found.stored} px")
        return found

    def load_calibration(self) -> Calibration:
        found: Calibration = self.load_json(Calibration, "calibrate", "calibration.json")
        return found

    def save_calibration(self, calibration: Calibration) -> None:
        write_json(self.folder("calibrate") / "calibration.json", asdict(calibration))

    def load_best(self) -> Best:
        found: Best = self.load_json(Best, "tune", "best.json")
        return found

    def save_best(self, best: Best) -> None:
        write_json(self.folder("tune") / "best.json", asdict(best))

    def related_classes(self) -> int:
        """How many rows a relationship has."""
        return len(self.load_classes())

    def load_relationship(self, categories: int | None = None) -> Relationship:
        """Of so many source categories, where the caller knows how many they must be."""
        from pipeline.artifacts import tensors

        with self.whole("fit-relationship", "relationship.safetensors") as path:
            found = tensors.read_relationship(path, self.related_classes())
            tensors.check_sources(found.matrix.shape[1], categories)
        return found

    def save_relationship(self, matrix: Tensor, temperature: float, source_weight: float) -> None:
        """R [target, source], in the precision that it has."""
        import torch

        from pipeline.common.tensors import write_tensors

        numbers = {"temperature": temperature, "source_weight": source_weight}
        scalars = {
            name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()
        }
        write_tensors(
            self.path("fit-relationship", "relationship.safetensors"),
            {"relationship": matrix} | scalars,
        )

    def load_relationship_array(self) -> np.ndarray:
        """R [target, source] in float32, for what only shows it."""
        with self.whole("fit-relationship", "relationship.safetensors") as path:
            return safetensors.numpy.load_file(path)["relationship"].astype(np.float32)

    def load_model(self, method: str, model: nn.Module, called: str) -> None:
        """Put the weights of fine-tuning into a model; `called` says what it is, for messages."""
        state = self.load_model_state(method)
        try:
            model.load_state_dict(state)
        except RuntimeError:  # its message names every tensor
            path = self.path("fine-tune", method, "model.safetensors")
            raise damaged(self.root, path, f"it is no model of {called}") from None

    def load_model_state(self, method: str) -> dict[str, Tensor]:
        from pipeline.artifacts import tensors

        with self.whole("fine-tune", method, "model.safetensors") as path:
            return tensors.read_weights(path)

    def save_model_state(
        self, method: str, state: Mapping[str, Tensor], metadata: Mapping[str, str]
    ) -> None:
        from pipeline.common.tensors import write_tensors

        write_tensors(self.folder("fine-tune", method) / "model.safetensors", state, metadata)

    def save_history(
        self, method: str, history: Sequence[Mapping[str, float]], kept_epoch: int
    ) -> None:
        """One record an epoch, in a table that says which epoch's weights were kept."""
        table = pd.DataFrame(history)
        table["kept"] = table["epoch"] == kept_epoch
        write_csv(self.folder("fine-tune", method) / "history.csv", table)

    def load_settings(self) -> dict[str, CellSettings]:
        """What tune-methods chose, by method."""
        found: dict[str, CellSettings] = self.load_json(
            dict[str, CellSettings], "tune-methods", "settings.json"
        )
        return found
