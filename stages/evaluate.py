"""Judge a fine-tuned model on the test split, and see where its source head has gone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.artifacts import SplitLogits, Store
from pipeline.common.formats import by_class, write_csv, write_json
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.cotuning.diagnostics import class_means, source_head_divergence
from pipeline.datasets.batches import evaluation_batches
from pipeline.params import Params
from pipeline.params.sections import Evaluate
from pipeline.report.figures import confusion_matrix, save_figure
from pipeline.report.metrics import bootstrap_intervals
from pipeline.sources.models import load_source_model
from pipeline.tracking.runs import stage_run
from pipeline.training.compute import resolve_compute
from pipeline.training.inference import predict
from pipeline.training.judge import Judgement, judge
from pipeline.training.methods import new_model


def run(params: Params, method: str) -> None:
    store = Store(project_root(), params.sample)
    section = params.evaluate
    compute = resolve_compute(params.compute.device, params.compute.precision)
    store.require_test_images()
    prepared = store.load_prepared()
    source = load_source_model(**params.source_model.model_dump())
    prepared.require_size(source.input_size)
    classes, categories = len(prepared.classes), len(source.categories)
    model = new_model(source, classes, params.sample_seed)
    store.load_model(method, model, f"{classes} classes on {params.source_model.name}")
    model.to(compute.device)
    before = store.load_logits(prepared, categories)["validation"]
    relationship = store.load_relationship(categories).matrix
    test, validation = prepared.split("test"), prepared.split("validation")
    folder = store.folder("evaluate", method)
    with (
        stage_run(
            store.root,
            "evaluate",
            section.model_dump() | {"method": method},
            inputs=[
                store.require("prepare-data", "manifest.csv"),
                store.require("prepare-data", "images.npy"),
                store.require("extract-logits", "logits.safetensors"),
                store.require("fit-relationship", "relationship.safetensors"),
                store.require("fine-tune", method, "model.safetensors"),
            ],
            outputs=folder,
            of={"method": method, "seed": params.sample},
        ) as run,
        progress(f"evaluate {method}", len(test) + 2 * len(validation)) as advance,
    ):
        inputs = source.preprocessing
        judged = judge(model.deploy(), prepared, inputs, section, compute, advance)
        batches = evaluation_batches(validation, inputs, section.batch_size, compute.device)
        after = SplitLogits(
            *predict(model.source_network(), batches, compute, advance),
            torch.from_numpy(validation.rows),
        )
        source_head = distances(before, after, relationship, prepared.classes)
        write_json(folder / "source_head.json", source_head)
        metrics = save(judged, prepared.classes, section, params.sample_seed, folder)
        divergences = {
            f"source_head_kl_{name}": found["mean"] for name, found in source_head.items()
        }
        run.log_metrics(metrics | divergences)


def save(
    judged: Judgement, classes: list[str], section: Evaluate, seed: int, folder: Path
) -> dict[str, float]:
    """The metrics of the test predictions, which are saved with their intervals and confusions."""
    predictions, metrics = judged.predictions, judged.metrics(len(classes))
    intervals = bootstrap_intervals([predictions], len(classes), section.bootstrap_resamples, seed)
    write_csv(folder / "predictions.csv", predictions)
    write_json(folder / "metrics.json", metrics | {"intervals": intervals})
    found = predictions["label"].to_numpy(), predictions["prediction"].to_numpy()
    save_figure(confusion_matrix(*found, classes), folder / "confusion_matrix.png")
    return metrics


def distances(
    before: SplitLogits, after: SplitLogits, relationship: Tensor, classes: list[str]
) -> dict[str, dict[str, Any]]:
    """Of the source head to R before and after training, and of a uniform one, to compare with."""
    uniform = replace(before, logits=torch.zeros_like(before.logits))
    return {
        name: distance_to_relationship(split, relationship, classes)
        for name, split in (("before", before), ("after", after), ("uniform", uniform))
    }


def distance_to_relationship(
    split: SplitLogits, relationship: Tensor, classes: list[str]
) -> dict[str, Any]:
    """KL(R[y] || source head) in nats, as JSON values: its `mean`, and `by_class` by name."""
    divergence = source_head_divergence(split.logits, split.labels, relationship)
    means = class_means(divergence, split.labels, len(classes))
    return {"mean": float(divergence.mean()), "by_class": by_class(classes, means.tolist())}
