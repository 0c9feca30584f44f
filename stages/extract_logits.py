"""Pass the prepared images through the source model once; later stages read its logits."""

import numpy as np
import torch

from pipeline.artifacts import SplitLogits, Store
from pipeline.backbones import load_source_model
from pipeline.categories import match_categories
from pipeline.compute import resolve_compute
from pipeline.datasets.loaders import Preprocessing, evaluation_batches
from pipeline.inference import predict
from pipeline.params import Params
from pipeline.progress import progress
from pipeline.project import project_root
from pipeline.tracking import stage_run

SPLITS = ("train", "validation", "source-validation")


def run(params: Params) -> None:
    store = Store(project_root())
    compute = resolve_compute(params.compute.device, params.compute.precision)
    prepared = store.load_prepared()
    source = load_source_model(**params.source_model.model_dump())
    source_labels = np.array(match_categories(prepared.source_folders, source.categories))
    network = source.network().to(compute.device)
    preprocessing = Preprocessing(params.source_model.input_size, source.mean, source.std)

    images = {name: prepared.split(name) for name in SPLITS}
    images = {name: split for name, split in images.items() if len(split)}
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
        progress("extract-logits", sum(map(len, images.values()))) as advance,
    ):
        splits = {}
        for name, split in images.items():
            batches = evaluation_batches(
                split, preprocessing, params.extract_logits.batch_size, compute.device
            )
            logits, labels = predict(network, batches, compute, advance)
            if name == "source-validation":
                labels = torch.from_numpy(source_labels[labels])
            splits[name] = SplitLogits(logits, labels, torch.from_numpy(split.rows))
        store.save_logits(splits, source.categories)
        run.log_metrics({f"{name}_images": len(split) for name, split in images.items()})
