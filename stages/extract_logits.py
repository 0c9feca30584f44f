"""Pass the prepared images through the source model once; later stages read its logits."""

import logging
from collections.abc import Callable

import numpy as np
import torch

from pipeline.artifacts import SplitLogits, Store
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.datasets.batches import Preprocessing, evaluation_batches
from pipeline.params import Params
from pipeline.params.published_sizes import warn_of_size
from pipeline.sources.categories import match_categories
from pipeline.sources.models import load_source_model
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
    store = Store(project_root())
    device = processes.device(params.compute.device)
    compute = resolve_compute(device, params.compute.precision)
    prepared = store.load_prepared()
    source = load_source_model(**params.source_model.model_dump())
    source_labels = np.array(match_categories(prepared.source_folders, source.categories))
    network = source.network().to(compute.device)
    preprocessing = Preprocessing(params.source_model.input_size, source.mean, source.std)

    images = {name: prepared.split(name) for name in SPLITS}
    images = {name: split for name, split in images.items() if len(split)}
    parts = {name: split.part(processes.share(len(split))) for name, split in images.items()}

    def extract(advance: Callable[[int], None] = lambda done: None) -> dict[str, SplitLogits]:
        splits = {}
        for name, part in parts.items():
            batches = evaluation_batches(
                part, preprocessing, params.extract_logits.batch_size, compute.device
            )
            logits, labels = map(processes.gather, predict(network, batches, compute, advance))
            if name == "source-validation":
                labels = torch.from_numpy(source_labels[labels])
            splits[name] = SplitLogits(logits, labels, torch.from_numpy(images[name].rows))
        return splits

    if not processes.is_first:
        extract()
        return
    if warning := warn_of_size(params.source_model):
        log.warning(warning)
    with (
        stage_run(
            store.root,
            "extract-logits",
            params.extract_logits.model_dump() | {"source_model": params.source_model.model_dump()},
            inputs=[
                store.require("prepare-data", "manifest.csv"),
                store.require("prepare-data", "images.npy"),
            ],
            outputs=store.folder("extract-logits"),
        ) as run,
        progress("extract-logits", sum(map(len, parts.values()))) as advance,
    ):
        store.save_logits(extract(advance), source.categories)
        run.log_metrics({f"{name}_images": len(split) for name, split in images.items()})
