"""Rank source models for the prepared images, before any of them is fine-tuned."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console

from pipeline.artifacts import Prepared, Store
from pipeline.common.errors import UserError
from pipeline.common.formats import write_csv
from pipeline.common.project import project_root
from pipeline.datasets.batches import evaluation_batches
from pipeline.params import Params, write_values
from pipeline.report.figures import save_figure
from pipeline.report.ranking_figure import accuracy_against_cost
from pipeline.sources.efficientnet_lite import MODELS as LITE
from pipeline.sources.models import load_source_model, published_input
from pipeline.sources.ranking import (
    COMMON_COLUMNS,
    Candidate,
    Scores,
    best_of,
    named_candidates,
    rank,
    ranking_table,
    score_features,
)
from pipeline.sources.scoring import STAGE, Scoring, scored
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.inference import predict

SHORT_LIST = (*LITE, "mobilenet_v3_large", "resnet18", "resnet50", "convnext_tiny")
SCORING_CODE = ("cotuning/*.py", "sources/*.py", "datasets/batches.py", "training/inference.py")
COLUMNS = COMMON_COLUMNS | {
    "classifier_accuracy": ("g", "{:.1%}"),
    "images_per_second": ("im/s", "{:.0f}"),
    "parameters": ("M", "{:.1f}"),
    "input_size": ("px", "{:.0f}"),
}


def run(params: Params, models: Sequence[str], listed: Path | None, write: bool) -> None:
    store, console = Store(project_root(), params.sample), Console()
    candidates = named_candidates(models, listed, SHORT_LIST)
    scores = scored(store, candidates, scoring_of(store, params))
    ranking = rank(scores)
    folder = store.folder(STAGE)
    write_csv(folder / "ranking.csv", ranking)
    save_figure(accuracy_against_cost(ranking), folder / "ranking.png")
    console.print(ranking_table(ranking, COLUMNS))
    if write:
        path = store.root / "params.yaml"
        changes = write_values(path, {"source_model": asdict(best_of(ranking))})
        console.print("\n".join(changes) or f"{path} names it already", markup=False)


def scoring_of(store: Store, params: Params) -> Scoring[Scores]:
    prepared = store.load_prepared()

    def begin() -> Callable[[Candidate], Scores]:
        compute = resolve_compute(params.compute.device, params.compute.precision)
        return lambda candidate: score(candidate, params, prepared, compute)

    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "images.npy"),
    ]
    steering = params.model_dump(mode="json", include={"compute": True})
    steering["input_size"] = params.source_model.input_size
    return Scoring(Scores, inputs, steering, SCORING_CODE, begin)


def score(candidate: Candidate, params: Params, prepared: Prepared, compute: Compute) -> Scores:
    """One pass over the images of training and validation, and what it tells.

    Raises:
        UserError: the model cannot be loaded, or wants larger images than are stored.
    """
    size, stored = params.source_model.input_size, prepared.images.shape[1]
    if size == "auto":
        size = published_input(candidate.name, candidate.weights).size
    if size > stored:
        raise UserError(
            f"it is published for {size} px, and the stored images have {stored}; raise "
            "prepare_data.stored_size, or give source_model.input_size"
        )
    source = load_source_model(candidate.name, candidate.weights, size)
    backbone, head = source.backbone.to(compute.device), source.head.cpu().eval()
    features, labels, seconds, images = [], [], 0.0, 0
    for split in ("train", "validation"):
        part = prepared.split(split)
        batches = evaluation_batches(
            part, source.preprocessing, params.extract_logits.batch_size, compute.device
        )
        begin = time.perf_counter()
        found, known = predict(backbone, batches, compute)
        seconds += time.perf_counter() - begin
        images += len(part)
        features.append(found)
        labels.append(known)
    with torch.inference_mode():
        logits = [head(part) for part in features]
    parameters = sum(parameter.numel() for parameter in source.network().parameters())
    return Scores(
        **score_features(features, logits, labels, len(prepared.classes)),
        images_per_second=images / seconds,
        parameters=parameters / 1e6,
        input_size=size,
        categories=len(source.categories),
    )
