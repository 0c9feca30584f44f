"""Search for the source weight and the temperature with the best validation likelihood."""

import logging

import optuna
import torch
from optuna.trial import Trial

from pipeline.artifacts import Best, Store, write_csv
from pipeline.common.errors import UserError
from pipeline.common.processes import run_in_processes
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.common.resume import resume_key
from pipeline.cotuning.objectives import Objective, co_tuning, compose, vanilla
from pipeline.params import Params
from pipeline.params.sections import Tune
from pipeline.report.figures import save_figure, tune_trials
from pipeline.search.shared_trials import SharedTrials
from pipeline.search.storage import losses_explained
from pipeline.search.study import (
    SearchSpace,
    StudyPlace,
    finished_trials,
    join_study,
    open_study,
    trials_table,
    work_off,
)
from pipeline.sources.from_logits import learn_relationship
from pipeline.sources.models import load_source_model
from pipeline.tracking.runs import StageRun, join_run, stage_run
from pipeline.training.compute import resolve_compute
from pipeline.training.fit import DivergedError, Record, fit
from pipeline.training.methods import TRAINING_CODE, new_model, training_data
from pipeline.training.schedule import training_length

SEARCH_CODE = (*TRAINING_CODE, "search/*.py")

log = logging.getLogger(__name__)


def run(params: Params, workers: int = 1, storage: str | None = None) -> None:
    store = Store(project_root())
    section = params.tune
    temperature = store.load_calibration().temperature
    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "images.npy"),
        store.require("extract-logits", "logits.safetensors"),
        store.require("calibrate", "calibration.json"),
    ]
    folder = store.folder("tune")
    place = _place(store, resume_key(_steering(params), inputs, SEARCH_CODE), storage)
    study = open_study(place, params.seed)
    with stage_run(store.root, "tune", section.model_dump(), inputs, folder) as run:
        if section.trials:
            _run_workers(params, place, run, workers)
        table = trials_table(study, temperature)
        best = _choose(study, section, temperature)
        store.save_best(best)
        write_csv(folder / "trials.csv", table)
        save_figure(tune_trials(table), folder / "trials.png")
        run.log_metrics(
            {
                "source_weight": best.source_weight,
                "temperature": best.temperature,
                "validation_nll": best.validation_nll,
                "vanilla_validation_nll": best.vanilla_validation_nll,
            }
        )


class TrialRunner:
    """One trial: the relationship at its temperature, then a training run at its weight.

    The source model and the images are loaded once for all trials of a process, and the source
    logits of extract-logits serve every temperature.
    """

    def __init__(self, params: Params, run: StageRun) -> None:
        store = Store(project_root())
        self.params, self.run = params, run
        self.compute = resolve_compute(params.compute.device, params.compute.precision)
        self.prepared = store.load_prepared()
        self.logits = store.load_logits()
        self.temperature = store.load_calibration().temperature
        self.source = load_source_model(**params.source_model.model_dump())
        self.data = training_data(self.prepared, self.source, params.source_model.input_size)

    def __call__(self, trial: Trial) -> float:
        source_weight, factor = _space(self.params).suggest(trial)
        classes = len(self.prepared.classes)
        objective = self.objective(source_weight, self.temperature * factor, classes)
        title = f"trial {trial.number}"
        with self.run.nested(title, trial.params) as run:
            nll = self.train(trial, objective, classes, run, title)
        if nll is None:
            raise optuna.TrialPruned
        log.info("%s: source weight %.2f, temperature factor %.2f: validation NLL %.4f",
                 title, source_weight, factor, nll)  # fmt: skip
        return nll

    def train(
        self, trial: Trial, objective: Objective, classes: int, run: StageRun, title: str
    ) -> float | None:
        """The validation NLL of the epoch that is kept, None where it was stopped early."""
        section = self.params.tune
        epochs = training_length(section, len(self.data.train)).epochs

        def report(record: Record) -> None:
            epoch = int(record["epoch"])
            run.log_metrics(record, epoch)
            trial.report(record["validation_nll"], epoch)
            if epoch < epochs and trial.should_prune():
                raise optuna.TrialPruned

        model = new_model(self.source, classes, self.params.seed)
        try:
            with progress(title, self.data.images_passed(section)) as advance:
                result = fit(
                    model, objective, self.data, section, self.compute, self.params.seed,
                    on_epoch=report, on_batch=advance,
                )  # fmt: skip
        except (DivergedError, optuna.TrialPruned) as stop:
            log.info("%s: stopped early%s", title, f", {stop}" if str(stop) else "")
            run.set_tag("stopped_early", "true")
            return None
        return result.history[result.kept_epoch - 1]["validation_nll"]

    def objective(self, source_weight: float, temperature: float, classes: int) -> Objective:
        if source_weight == 0:
            return vanilla
        way = self.params.fit_relationship
        relationship = learn_relationship(self.logits, classes, temperature, way).relationship
        return compose(co_tuning(relationship.float().to(self.compute.device), source_weight))


def _place(store: Store, key: str, storage: str | None) -> StudyPlace:
    if storage:
        return StudyPlace(storage, f"tune-{key}", shared=True)
    folder = store.work_folder("tune")
    folder.mkdir(parents=True, exist_ok=True)
    return StudyPlace(str(folder / f"{key}.log"), "tune", shared=False)


def _run_workers(params: Params, place: StudyPlace, run: StageRun, workers: int) -> None:
    if workers == 1:
        _work(params, place, run, params.seed)
        return
    arguments = [(params, place, run.run_id, worker, workers) for worker in range(workers)]
    run_in_processes(_work_in_process, arguments, "cot stage tune")


def _work_in_process(
    params: Params, place: StudyPlace, run_id: str, worker: int, workers: int
) -> None:
    torch.set_num_threads(max(torch.get_num_threads() // workers, 1))
    run = join_run(project_root(), run_id)
    _work(params, place, run, params.seed + worker)


def _work(params: Params, place: StudyPlace, run: StageRun, seed: int) -> None:
    shared = SharedTrials(join_study(place, seed))
    with losses_explained("cot stage tune"):
        work_off(shared, _space(params), TrialRunner(params, run), params.tune.trials)


def _choose(study: optuna.Study, section: Tune, temperature: float) -> Best:
    if section.trials == 0:
        given = temperature * section.temperature_factor
        return Best(section.source_weight, given, 0, None, None)
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    vanilla = [trial for trial in complete if trial.params["source_weight"] == 0]
    if not complete:
        raise UserError("every trial diverged; lower tune.learning_rate")
    winner = study.best_trial
    return Best(
        source_weight=winner.params["source_weight"],
        temperature=temperature * winner.params["temperature_factor"],
        trials=finished_trials(study),
        validation_nll=winner.value,
        vanilla_validation_nll=vanilla[0].value if vanilla else None,
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
    """Everything but the number of trials, so that a search can be made longer."""
    section = params.model_dump(mode="json", include={"seed", "compute", "source_model", "tune"})
    section["tune"].pop("trials")
    way = params.fit_relationship.model_dump(exclude={"top_categories"})
    return section | way
