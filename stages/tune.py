"""Search for source weight and temperature, and say which method held-out images speak for."""

from pathlib import Path

from pipeline.artifacts import Store
from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.params.sections import Training
from pipeline.sources.models import load_source_model
from pipeline.training.compute import resolve_compute
from pipeline.training.methods import TRAINING_CODE
from pipeline.tuning.image_folds import ImageFoldTrainer
from pipeline.tuning.search import Search, run_search


def run(params: Params, workers: int | None = None, storage: str | None = None) -> None:
    store = Store(project_root(), params.sample)
    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "images.npy"),
        store.require("extract-logits", "logits.safetensors"),
        store.require("calibrate", "calibration.json"),
    ]
    search = Search(params, inputs, Training, TRAINING_CODE, new_trainer)
    run_search(search, store, workers, storage)


def new_trainer(params: Params, folds: Path) -> ImageFoldTrainer:
    store = Store(project_root(), params.sample)
    prepared = store.load_prepared()
    source = load_source_model(**params.source_model.model_dump())
    prepared.require_size(source.input_size)
    return ImageFoldTrainer(
        params,
        prepared,
        source,
        store.load_logits(prepared, len(source.categories)),
        store.load_calibration().temperature,
        resolve_compute(params.compute.device, params.compute.precision, params.compute.compile),
        folds,
    )
