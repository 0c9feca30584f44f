"""Search for source weight and temperature, and say which method held-out images speak for."""

import logging
import os
from pathlib import Path

import optuna
import torch
from optuna.trial import Trial

from pipeline.artifacts import Best, Store
from pipeline.common.errors import UserError
from pipeline.common.formats import write_csv
from pipeline.common.processes import run_in_processes
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.common.resume import resume_key
from pipeline.params import Params
from pipeline.params.methods import BASELINE, CO_TUNING, LINEAR_PROBE
from pipeline.params.sections import Training
from pipeline.report.figures import save_figure
from pipeline.report.trials_figure import tune_trials
from pipeline.search.choice import choose, gain, recommend
from pipeline.search.difference import Evidence
from pipeline.search.evidence import HeldOut, evidence_of, latest_loss
from pipeline.search.shared_trials import SharedTrials
from pipeline.search.storage import losses_explained
from pipeline.search.study import (
    SearchSpace,
    StudyPlace,
    candidates,
    finished_trials,
    is_given,
    join_study,
    keep_evidence,
    open_study,
    trials_table,
    work_off,
)
from pipeline.sources.models import load_source_model
from pipeline.tracking.runs import StageRun, join_run, stage_run
from pipeline.training.compute import resolve_compute
from pipeline.training.fit import DivergedError
from pipeline.training.folds import FoldTrainer
from pipeline.training.methods import TRAINING_CODE

SEARCH_CODE = (*TRAINING_CODE, "search/*.py")

log = logging.getLogger(__name__)


def run(params: Params, workers: int | None = None, storage: str | None = None) -> None:
    with losses_explained("cot stage tune"):
        search(params, workers, storage)


def search(params: Params, workers: int | None, storage: str | None) -> None:
    store = Store(project_root(), params.sample)
    section = params.tune
    temperature = store.load_calibration().temperature
    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "images.npy"),
        store.require("extract-logits", "logits.safetensors"),
        store.require("calibrate", "calibration.json"),
    ]
    folder = store.folder("tune")
    steering = _steering(params)
    folds = store.work_folder("tune") / f"folds-{resume_key(steering, inputs, TRAINING_CODE)}"
    searched = steering | section.model_dump(exclude={"trials"})
    place = _place(store, resume_key(searched, inputs, SEARCH_CODE), storage)
    study = open_study(place, params.sample_seed)
    with stage_run(store.root, "tune", section.model_dump(), inputs, folder) as run:
        if section.trials:
            _run_workers(params, place, run, workers, folds)
        table = trials_table(study, temperature)
        best = _choose(study, params, folds) if section.trials else _given(params)
        store.save_best(best)
        write_csv(folder / "trials.csv", table)
        save_figure(tune_trials(table, best.source_weight), folder / "trials.png")
        run.log_metrics(
            {
                "source_weight": best.source_weight,
                "temperature": temperature * best.temperature_factor,
            }
        )
        for method, found in best.gains.items():
            run.log_metrics(
                {
                    f"{method} log_likelihood_gain": found.log_likelihood.mean,
                    f"{method} accuracy_gain": found.accuracy.mean,
                }
            )
        if best.recommendation:
            run.set_tag("recommended", best.recommendation.method)


class TrialRunner:
    """One trial: a candidate trained on fold after fold until all are judged, or it is pruned.

    The source model and the images are loaded once for all trials of a process.
    """

    def __init__(self, params: Params, run: StageRun, folds: Path) -> None:
        self.params, self.run = params, run
        self.trainer = _trainer(params, folds)

    def __call__(self, trial: Trial) -> float:
        source_weight, factor = _space(self.params).suggest(trial)
        title = f"trial {trial.number}"
        with self.run.nested(title, trial.params) as run:
            try:
                found = self.judge(trial, source_weight, factor, run, title)
            except (DivergedError, optuna.TrialPruned) as stop:
                log.info("%s: stopped early%s", title, f", {stop}" if str(stop) else "")
                run.set_tag("stopped_early", "true")
                raise optuna.TrialPruned from None
        keep_evidence(trial, found)
        loss, accuracy = float(found.losses.mean()), float(found.correct.mean())
        log.info(
            "%s: source weight %.2f, temperature factor %.2f: held-out NLL %.4f, accuracy %.1f%%",
            *(title, source_weight, factor, loss, 100 * accuracy),
        )
        return loss

    def judge(
        self, trial: Trial, source_weight: float, factor: float, run: StageRun, title: str
    ) -> Evidence:
        parts: list[HeldOut] = []
        with progress(title, self.trainer.images_passed()) as advance:
            for held_out in self.trainer.held_out(source_weight, factor, advance):
                parts.append(held_out)
                loss = latest_loss(parts)
                trial.report(loss, len(parts))
                run.log_metrics({"held_out_nll": loss}, len(parts))
                if not is_given(trial) and trial.should_prune():
                    raise optuna.TrialPruned
        return evidence_of(parts)


def _place(store: Store, key: str, storage: str | None) -> StudyPlace:
    if storage:
        return StudyPlace(storage, f"tune-{key}", shared=True)
    folder = store.work_folder("tune")
    folder.mkdir(parents=True, exist_ok=True)
    return StudyPlace(str(folder / f"{key}.log"), "tune", shared=False)


def _run_workers(
    params: Params, place: StudyPlace, run: StageRun, workers: int | None, folds: Path
) -> None:
    on_cpu = resolve_compute(params.compute.device, params.compute.precision).device.type == "cpu"
    workers = min(workers or (os.cpu_count() or 1 if on_cpu else 1), params.tune.trials)
    if workers == 1:
        _work(params, place, run, params.sample_seed, folds)
        return
    arguments = [(params, place, run.run_id, worker, workers, folds) for worker in range(workers)]
    run_in_processes(_work_in_process, arguments, "cot stage tune")


def _work_in_process(
    params: Params, place: StudyPlace, run_id: str, worker: int, workers: int, folds: Path
) -> None:
    torch.set_num_threads(max(torch.get_num_threads() // workers, 1))
    run = join_run(project_root(), run_id)
    _work(params, place, run, params.sample_seed + worker, folds)


def _work(params: Params, place: StudyPlace, run: StageRun, seed: int, folds: Path) -> None:
    shared = SharedTrials(join_study(place, seed))
    with losses_explained("cot stage tune"):
        work_off(shared, _space(params), TrialRunner(params, run, folds), params.tune.trials)


def _trainer(params: Params, folds: Path) -> FoldTrainer:
    store = Store(project_root(), params.sample)
    prepared = store.load_prepared()
    source = load_source_model(**params.source_model.model_dump())
    prepared.require_size(source.input_size)
    return FoldTrainer(
        params,
        prepared,
        source,
        store.load_logits(prepared, len(source.categories)),
        store.load_calibration().temperature,
        resolve_compute(params.compute.device, params.compute.precision, params.compute.compile),
        folds,
    )


def _given(params: Params) -> Best:
    return Best(params.tune.source_weight, params.tune.temperature_factor)


def _choose(study: optuna.Study, params: Params, folds: Path) -> Best:
    given = _given(params)
    vanilla, others = candidates(study)
    if vanilla is None or not others:
        raise UserError(
            f"{'Co-Tuning' if vanilla else 'vanilla fine-tuning'} diverged in every trial; lower "
            f"fine_tune.learning_rate ({params.fine_tune.learning_rate:g})"
        )
    chosen = choose(others, given.source_weight, given.temperature_factor)
    methods = {
        BASELINE: vanilla.evidence,
        CO_TUNING: chosen.evidence,
        LINEAR_PROBE: evidence_of(_trainer(params, folds).held_out_by_probe()),
    }
    return Best(
        source_weight=chosen.source_weight,
        temperature_factor=chosen.temperature_factor,
        trials=finished_trials(study),
        gains={name: gain(vanilla.evidence, methods[name]) for name in (CO_TUNING, LINEAR_PROBE)},
        recommendation=recommend(methods),
    )


def _space(params: Params) -> SearchSpace:
    section = params.tune
    return SearchSpace(
        section.source_weight,
        section.temperature_factor,
        section.max_source_weight,
        section.max_temperature_factor,
    )


def _steering(params: Params) -> dict[str, object]:
    """Everything that a candidate's training on a fold depends on."""
    steering = params.model_dump(
        mode="json",
        include={
            **dict.fromkeys(("compute", "source_model"), True),
            "fine_tune": set(Training.model_fields),
        },
    )
    way = params.fit_relationship.model_dump(exclude={"top_categories"})
    return steering | way | {"folds": params.tune.folds, "seed": params.sample_seed}
