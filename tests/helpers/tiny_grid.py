"""Cells of the claims table that take seconds: six, and the artifacts that they draw from."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline import params
from pipeline.artifacts import SplitLogits, Store
from pipeline.claims.cell import Cell
from pipeline.params.claims_sections import CellSettings
from stages.fine_tune_cells import all_cells

PARAMS = """
compute: {device: cpu, precision: float32}
source_model: {input_size: 32}
prepare_data: {stored_size: 36, val_fraction: 0.25}
fine_tune: {batch_size: 8}
fine_tune_cells:
  rates: [{images_per_class: 8, steps: 12}]
  seeds: [1, 0]
  methods: [vanilla, co-tuning, bss]
"""
SETTINGS = {name: CellSettings(method=name) for name in ("vanilla", "co-tuning", "bss")}


def write_artifacts(root: Path) -> None:
    """Two classes, ten images of each and six for testing, with the logits of the first ten."""
    (root / "params.yaml").write_text(PARAMS)
    splits = ["train"] * 16 + ["validation"] * 4 + ["test"] * 12
    labels = np.arange(len(splits)) % 2
    paths = [f"{row}.png" for row in range(len(splits))]
    manifest = {"row": range(len(splits)), "split": splits, "label": labels, "path": paths}
    store, rng = Store(root), np.random.default_rng(0)
    store.save_manifest(pd.DataFrame(manifest), ["dark", "bright"], [])
    images = rng.integers(0, 128, (len(splits), 36, 36, 3), dtype=np.uint8)
    np.save(
        store.folder("prepare-data") / "images.npy",
        images + 90 * labels[:, None, None, None].astype(np.uint8),
    )
    rows = torch.arange(20)
    logits = torch.randn(20, 1000, generator=torch.Generator().manual_seed(0))
    parts = {"train": rows[:16], "validation": rows[16:]}
    tensors = {
        name: SplitLogits(logits[part], torch.from_numpy(labels)[part], part)
        for name, part in parts.items()
    }
    store.save_logits(tensors, tuple(map(str, range(1000))))


def values(root: Path) -> params.Params:
    return params.load(root / "params.yaml")


def cells(root: Path) -> list[Cell]:
    return all_cells(values(root).fine_tune_cells, SETTINGS)


def cell_runs(root: Path, status: str) -> list[Run]:
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, f"attributes.status = '{status}'")
    return [run for run in runs if "group 3" in run.data.tags]


def names(runs: list[Run]) -> list[tuple[str, str]]:
    return sorted((run.data.tags["group 3"], run.info.run_name) for run in runs)


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="training_seconds")
