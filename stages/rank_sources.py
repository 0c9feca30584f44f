"""Rank source models for the prepared images, before any of them is fine-tuned."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console

from pipeline.artifacts import Prepared, Store, read_checked
from pipeline.common.damage import reading_work
from pipeline.common.errors import UserError
from pipeline.common.formats import write_csv, write_json
from pipeline.common.project import project_root
from pipeline.common.resume import resume_key
from pipeline.common.tables import plain_table
from pipeline.datasets.batches import evaluation_batches
from pipeline.params import Params, write_values
from pipeline.report.figures import save_figure
from pipeline.report.ranking_figure import accuracy_against_cost
from pipeline.sources.efficientnet_lite import MODELS as LITE
from pipeline.sources.models import load_source_model, published_input
from pipeline.sources.ranking import Candidate, Scores, rank, read_candidates, score_features
from pipeline.tracking.runs import stage_run
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.inference import predict

SHORT_LIST = (*LITE, "mobilenet_v3_large", "resnet18", "resnet50", "convnext_tiny")
SCORING_CODE = ("cotuning/*.py", "sources/*.py", "datasets/batches.py", "training/inference.py")
COLUMNS = {
    "linear_probe_accuracy": ("Probe", "{:.1%}"),
    "linear_probe_nll": ("NLL", "{:.2f}"),
    "logme": ("LogME", "{:+.2f}"),
    "leep": ("LEEP", "{:+.2f}"),
    "nce": ("NCE", "{:+.2f}"),
    "h_score": ("H-score", "{:.2f}"),
    "classifier_accuracy": ("g", "{:.1%}"),
    "images_per_second": ("im/s", "{:.0f}"),
    "parameters": ("M", "{:.1f}"),
    "input_size": ("px", "{:.0f}"),
}

log = logging.getLogger(__name__)


def run(params: Params, models: Sequence[str], listed: Path | None, write: bool) -> None:
    store = Store(project_root(), params.sample)
    candidates = [Candidate.parse(text) for text in models]
    candidates += read_candidates(listed) if listed else []
    candidates = list(dict.fromkeys(candidates)) or [Candidate(name) for name in SHORT_LIST]
    prepared = store.load_prepared()
    scores = scored(store, params, prepared, candidates)
    ranking = rank(scores)
    folder = store.folder("rank-sources")
    write_csv(folder / "ranking.csv", ranking)
    save_figure(accuracy_against_cost(ranking), folder / "ranking.png")
    show(ranking, Console())
    if write:
        best = ranking.iloc[0]
        write_winner(store.root / "params.yaml", Candidate(best["name"], best["weights"]))


def scored(
    store: Store, params: Params, prepared: Prepared, candidates: Sequence[Candidate]
) -> dict[Candidate, Scores]:
    """Those of the candidates that can be loaded; what was scored before is not scored again.

    Raises:
        UserError: none of them can be loaded.
    """
    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "images.npy"),
    ]
    steering = params.model_dump(mode="json", include={"compute": True})
    steering["input_size"] = params.source_model.input_size
    paths = {}
    for candidate in candidates:
        own = steering | asdict(candidate) | {"content": candidate.content()}
        key = resume_key(own, inputs, SCORING_CODE)
        paths[candidate] = store.work_folder("rank-sources") / f"{key}.json"
    if missing := [candidate for candidate in candidates if not paths[candidate].exists()]:
        compute = resolve_compute(params.compute.device, params.compute.precision)
        folder = store.folder("rank-sources")
        logged = {"models": [candidate.label for candidate in candidates]}
        with stage_run(store.root, "rank-sources", logged, inputs, folder) as run:
            for candidate in missing:
                try:
                    found = score(candidate, params, prepared, compute)
                except UserError as error:
                    log.warning("%s is left out: %s", candidate.label, error)
                    continue
                write_json(paths[candidate], asdict(found))
                with run.nested(candidate.label, asdict(candidate)) as child:
                    child.log_metrics(asdict(found))
    usable = {candidate: read_scores(path) for candidate, path in paths.items() if path.exists()}
    if not usable:
        raise UserError("no source model is left to rank; name others, or give local weights")
    return usable


def read_scores(path: Path) -> Scores:
    with reading_work(path):
        scores: Scores = read_checked(path, Scores)
        return scores


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


def show(ranking: pd.DataFrame, console: Console) -> None:
    table = plain_table()
    table.add_column("Source model", overflow="fold", min_width=18)
    for title, _ in COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for _, row in ranking.iterrows():
        label = Candidate(row["name"], row["weights"]).label
        table.add_row(label, *(form.format(row[name]) for name, (_, form) in COLUMNS.items()))
    console.print(table)


def write_winner(path: Path, best: Candidate) -> None:
    """Name and weights into params.yaml."""
    changes = write_values(path, {"source_model": asdict(best)})
    Console().print("\n".join(changes) or f"{path} names it already", markup=False)
