"""Pass the prepared images through the source model once; later stages read its logits."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.artifacts import Prepared, Store
from pipeline.common.formats import write_json
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.datasets.batches import ImageSet, evaluation_batches
from pipeline.datasets.sizes import warn_of_size
from pipeline.params import Params
from pipeline.sources.categories import match_categories
from pipeline.sources.models import load_source_model
from pipeline.sources.sizes import find_sizes
from pipeline.sources.split_logits import split_logits
from pipeline.tracking.runs import stage_run
from pipeline.training.compute import resolve_compute
from pipeline.training.distributed import Processes, joined_processes
from pipeline.training.inference import predict

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "source-validation")


def run(params: Params) -> None:
    with joined_processes() as processes:
        run_in(processes, params)


def run_in(processes: Processes, params: Params) -> None:
    """What each of the processes does; the first one writes and tracks."""
    root, seeds = project_root(), params.fine_tune.seeds
    stores = [Store(root, seed) for seed in seeds]
    device = processes.device(params.compute.device)
    compute = resolve_compute(device, params.compute.precision)
    samples = [store.load_prepared() for store in stores]
    source = load_source_model(**params.source_model.model_dump())
    samples[0].require_size(source.input_size)
    source_labels = np.array(match_categories(samples[0].source_folders, source.categories))
    network = source.network().to(compute.device)
    images = images_of(samples)
    part = images.part(processes.share(len(images)))

    def extract(advance: Callable[[int], None] = lambda done: None) -> Tensor:
        batches = evaluation_batches(
            part, source.preprocessing, params.extract_logits.batch_size, compute.device
        )
        return processes.gather(predict(network, batches, compute, advance)[0])

    if not processes.is_first:
        extract()
        return
    sizes = find_sizes(params.source_model, params.prepare_data)
    if warning := warn_of_size(params.source_model.name, sizes):
        log.warning(warning)
    with (
        stage_run(
            root,
            "extract-logits",
            params.extract_logits.model_dump() | {"source_model": params.source_model.model_dump()},
            inputs=[
                *(store.require("prepare-data", "manifest.csv") for store in stores),
                stores[0].require("prepare-data", "images.npy"),
            ],
            outputs=stores[0].folder("extract-logits"),
        ) as run,
        progress("extract-logits", len(part)) as advance,
    ):
        extracted = extract(advance)
        logits = torch.full((len(images.images), extracted.shape[1]), float("nan"))
        logits[images.rows] = extracted
        for store, sample in zip(stores, samples, strict=True):
            splits = split_logits(sample, logits, SPLITS)
            if found := splits.get("source-validation"):
                labels = torch.from_numpy(source_labels[found.labels])
                splits["source-validation"] = replace(found, labels=labels)
            store.save_logits(splits, source.categories)
        write_json(stores[0].path("extract-logits", "sizes.json"), asdict(sizes))
        run.log_metrics({"images": len(images)})


def images_of(samples: Sequence[Prepared]) -> ImageSet:
    """Each image once that is of one of the splits in some sample."""
    parts = [sample.split(name) for sample in samples for name in SPLITS]
    rows = np.unique(np.concatenate([part.rows for part in parts]))
    return ImageSet(samples[0].images, rows, np.zeros_like(rows))
