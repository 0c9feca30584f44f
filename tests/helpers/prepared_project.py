"""A project whose stages all left artifacts, small and made up, but each fits the rest."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from finished_project import CLASSES, write_project
from PIL import Image
from typer.testing import CliRunner, Result

from pipeline.artifacts import SplitLogits, Store
from pipeline.artifacts.tables import STEP_TIMES
from pipeline.common.damage import FILES, RUN
from pipeline.common.files import content_hash
from pipeline.common.formats import write_csv, write_json
from pipeline.params.claims_sections import CellSettings
from pipeline.sources.models import load_source_model
from pipeline.training.methods import new_model
from stages.cli import app

METHODS = {"vanilla": 0.7, "co-tuning": 0.75}
STORED, INPUT = 36, 32
PARAMS = f"""\
compute: {{device: cpu, precision: float32}}
source_model: {{input_size: {INPUT}}}
prepare_data: {{root: photos, stored_size: {STORED}, images_per_class: null}}
fine_tune: {{epochs: 1, batch_size: 8, seeds: [0], methods: [vanilla, co-tuning]}}
evaluate: {{bootstrap_resamples: 100}}
report: {{bootstrap_resamples: 100}}
fine_tune_cells: {{methods: [vanilla, co-tuning]}}
gain_against_knowledge: {{studies: [study]}}
"""


def cot(*arguments: str) -> Result:
    """The `cot` command in this process."""
    return CliRunner().invoke(app, list(arguments))


def draw_photos(folder: Path, images: int = 5) -> None:
    generator = np.random.default_rng(0)
    for name in ("brick", "grass"):
        (folder / name).mkdir(parents=True)
        for index in range(images):
            pixels = generator.integers(0, 255, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def write_prepared(root: Path) -> Store:
    store = write_project(root, METHODS)
    (root / "dvc.yaml").write_text("")
    (root / "params.yaml").write_text(PARAMS)
    draw_photos(root / "photos")
    rng = np.random.default_rng(0)
    manifest = store.load_manifest()
    images = rng.integers(0, 256, (len(manifest), STORED, STORED, 3), dtype=np.uint8)
    np.save(store.path("prepare-data", "images.npy"), images)
    sizes = {"network_input": INPUT, "stored": STORED, "published": 224}
    write_json(store.path("extract-logits", "sizes.json"), sizes)
    source = load_source_model("efficientnet-lite0", "published", INPUT)
    logits = torch.randn(len(manifest), len(source.categories))
    splits = {}
    for split in ("train", "validation"):
        samples = manifest[manifest["split"] == split]
        rows, labels = (torch.tensor(samples[name].to_numpy()) for name in ("row", "label"))
        splits[split] = SplitLogits(logits[rows], labels, rows)
    store.save_logits(splits, source.categories)
    store.save_relationship(logits[: len(CLASSES)].softmax(dim=1), 8.0, 2.3)
    for method in METHODS:
        model = new_model(source, len(CLASSES), 0)
        store.save_model_state(method, model.state_dict(), {})
    write_claims(store)
    for folder in (root / "data").iterdir():
        for part in {path.parent for path in folder.rglob("*") if path.is_file()}:
            write_run(folder if folder.name in ("prepare-data", "extract-logits") else part)
    return store


def write_claims(store: Store) -> None:
    """What the stages of the claims table leave, and the cells of a study beside the project."""
    settings = {method: CellSettings(method=method).model_dump() for method in METHODS}
    write_json(store.path("tune-methods", "settings.json"), settings)
    times = pd.DataFrame({name: [1.0] for name in STEP_TIMES} | {"method": ["vanilla"]})
    write_csv(store.path("time-steps", "step_times.csv"), times)
    rows = [
        {
            **{"images_per_class": 5, "steps": 9, "row": method, "taught_by": method, "seed": seed},
            **{"learning_rate": 0.01, "source_weight": 2.3, "swept": None, "accuracy": 0.5},
            **{"nll": 1.0, "calibrated_nll": 1.0, "relationship": "learned"},
            **{"knowledge_nats": 1.0, "knowledge_accuracy": 0.5, "knowledge_log_likelihood": -1.0},
        }
        for method in METHODS
        for seed in (0, 1)
    ]
    for place in (store, Store(store.root.parent / "study")):
        write_csv(place.path("fine-tune-cells", "cells.csv"), pd.DataFrame(rows))


def write_run(folder: Path) -> None:
    """run.json, as a stage leaves it beside what it wrote."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RUN)
    hashes = {path.relative_to(folder).as_posix(): content_hash(path) for path in files}
    (folder / RUN).write_text(json.dumps({"run_id": "x", "experiment": "x", FILES: hashes}))
