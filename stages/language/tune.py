"""Search for source weight and temperature, and say which method held-out sentences speak for."""

from pathlib import Path

from pipeline.common.project import project_root
from pipeline.language.artifacts import TextStore
from pipeline.language.folds import SentenceFoldTrainer
from pipeline.language.source import load_language_model
from pipeline.language.teaching import TRAINING_CODE
from pipeline.params import LanguageParams
from pipeline.params.sections import Optimization
from pipeline.training.compute import resolve_compute
from pipeline.tuning.search import Search, run_search


def run(params: LanguageParams, workers: int | None = None, storage: str | None = None) -> None:
    store = TextStore(project_root(), params.sample)
    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "tokens.safetensors"),
        store.require("extract-logits", "states.safetensors"),
        store.require("calibrate", "calibration.json"),
    ]
    search = Search(params, inputs, Optimization, TRAINING_CODE, new_trainer)
    run_search(search, store, workers, storage)


def new_trainer(params: LanguageParams, folds: Path) -> SentenceFoldTrainer:
    store = TextStore(project_root(), params.sample)
    states, _ = store.load_states()
    return SentenceFoldTrainer(
        params,
        store.load_sentences(),
        load_language_model(params.source_model.name),
        states,
        store.load_calibration().temperature,
        resolve_compute(params.compute.device, params.compute.precision),
        folds,
    )
