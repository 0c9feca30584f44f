"""Artifacts of a pipeline that is so small that training takes seconds."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pipeline.artifacts import SplitLogits, Store


def write_artifacts(root: Path) -> None:
    """Two classes, ten images of each and six for testing, with the logits of the first ten."""
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
