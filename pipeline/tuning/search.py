"""The search of the stage tune, whatever the modality: an Optuna study that processes work off."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from pipeline.params.methods import BASELINE, CO_TUNING, LINEAR_PROBE
from pipeline.params.samples import SampledParams
from pipeline.params.sections import Optimization, Tune
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
from pipeline.tracking.runs import StageRun, join_run, stage_run
from pipeline.training.compute import resolve_compute
from pipeline.training.fit import DivergedError
from pipeline.tuning.folds import FoldTrainer

SEARCH_CODE = ("search/*.py", "tuning/*.py")  # beside that of the training, as patterns

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Search:
    """What a modality brings to its search. Processes get it whole.

    Attributes:
        inputs: files that it reads.
        training: the section whose fields of fine_tune a candidate's training depends on.
        training_code: what its weights come from, as patterns below pipeline/.
        new_trainer: a function of a module, of params and the folder of finished folds.
    """

    params: SampledParams
    inputs: Sequence[Path]
    training: type[Optimization]
    training_code: Sequence[str]
    new_trainer: Callable[[Any, Path], FoldTrainer]

    @property
    def tune(self) -> Tune:
        return self.params.tune

    @property
    def space(self) -> SearchSpace:
        return SearchSpace(
            self.tune.source_weight,
            self.tune.temperature_factor,
            self.tune.max_source_weight,
            self.tune.max_temperature_factor,
        )

    def folds(self) -> Path:
        """Folder of finished folds, of this very training; reads the inputs for their hashes."""
        key = resume_key(self._on_folds, self.inputs, self.training_code)
        return Store(project_root()).work_folder("tune") / f"folds-{key}"

    def place(self, storage: str | None) -> StudyPlace:
        """Where the study lies: in a file of its own, or where machines share it."""
        searched = self._on_folds | self.tune.model_dump(exclude={"trials"})
        key = resume_key(searched, self.inputs, (*self.training_code, *SEARCH_CODE))
        if storage:
            return StudyPlace(storage, f"tune-{key}", shared=True)
        folder = Store(project_root()).work_folder("tune")
        folder.mkdir(parents=True, exist_ok=True)
        return StudyPlace(str(folder / f"{key}.log"), "tune", shared=False)

    @property
    def _on_folds(self) -> dict[str, Any]:
        """All that a candidate's training on a fold depends on."""
        steering = self.params.model_dump(
            mode="json",
            include={
                **dict.fromkeys(("compute", "source_model", "fit_relationship"), True),
                "fine_tune": set(self.training.model_fields),
            },
            exclude={"fit_relationship": {"top_categories"}},
        )
        return steering | {"folds": self.tune.folds, "seed": self.params.sample_seed}


def run_search(search: Search, store: Store, workers: int | None, storage: str | None) -> None:
    """Work the trials off, choose, and write it down; with no trials params.yaml's values are
    passed on.

    Args:
        workers: processes; None is one a core on a CPU, and one on an accelerator.
        storage: where machines share the study, as `pipeline.search.storage.open_storage` takes it.

    Raises:
        UserError: the storage cannot be opened, or vanilla or all of Co-Tuning diverged.
    """
    folder, temperature = store.folder("tune"), store.load_calibration().temperature
    place = search.place(storage)
    with losses_explained("cot stage tune"):
        study = open_study(place, search.params.sample_seed)
        section = search.tune.model_dump()
        with stage_run(store.root, "tune", section, list(search.inputs), folder) as run:
            best = Best(search.tune.source_weight, search.tune.temperature_factor)
            if search.tune.trials:
                folds = search.folds()
                _run_workers(search, place, run, workers, folds)
                best = _choose(study, search, folds)
            table = trials_table(study, temperature)
            store.save_best(best)
            write_csv(folder / "trials.csv", table)
            save_figure(tune_trials(table, best.source_weight), folder / "trials.png")
            _log(best, temperature, run)


def _log(best: Best, temperature: float, run: StageRun) -> None:
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

    The source model and the data are loaded once for all trials of a process.
    """

    def __init__(self, search: Search, run: StageRun, folds: Path) -> None:
        self.search, self.run = search, run
        self.trainer = search.new_trainer(search.params, folds)

    def __call__(self, trial: Trial) -> float:
        source_weight, factor = self.search.space.suggest(trial)
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
        with progress(title, self.trainer.samples_passed()) as advance:
            for held_out in self.trainer.held_out(source_weight, factor, advance):
                parts.append(held_out)
                loss = latest_loss(parts)
                trial.report(loss, len(parts))
                run.log_metrics({"held_out_nll": loss}, len(parts))
                if not is_given(trial) and trial.should_prune():
                    raise optuna.TrialPruned
        return evidence_of(parts)


def _run_workers(
    search: Search, place: StudyPlace, run: StageRun, workers: int | None, folds: Path
) -> None:
    compute = search.params.compute
    on_cpu = resolve_compute(compute.device, compute.precision).device.type == "cpu"
    workers = min(workers or (os.cpu_count() or 1 if on_cpu else 1), search.tune.trials)
    if workers == 1:
        _work(search, place, run, search.params.sample_seed, folds)
        return
    arguments = [(search, place, run.run_id, worker, workers, folds) for worker in range(workers)]
    run_in_processes(_work_in_process, arguments, "cot stage tune")


def _work_in_process(
    search: Search, place: StudyPlace, run_id: str, worker: int, workers: int, folds: Path
) -> None:
    torch.set_num_threads(max(torch.get_num_threads() // workers, 1))
    run = join_run(project_root(), run_id)
    _work(search, place, run, search.params.sample_seed + worker, folds)


def _work(search: Search, place: StudyPlace, run: StageRun, seed: int, folds: Path) -> None:
    shared = SharedTrials(join_study(place, seed))
    with losses_explained("cot stage tune"):
        work_off(shared, search.space, TrialRunner(search, run, folds), search.tune.trials)


def _choose(study: optuna.Study, search: Search, folds: Path) -> Best:
    vanilla, others = candidates(study)
    if vanilla is None or not others:
        raise UserError(
            f"{'Co-Tuning' if vanilla else 'vanilla fine-tuning'} diverged in every trial; lower "
            f"fine_tune.learning_rate ({search.params.fine_tune.learning_rate:g})"
        )
    chosen = choose(others, search.tune.source_weight, search.tune.temperature_factor)
    trainer = search.new_trainer(search.params, folds)
    rivals = {CO_TUNING: chosen.evidence} | {
        name: evidence_of(found) for name, found in trainer.peers().items()
    }
    return Best(
        source_weight=chosen.source_weight,
        temperature_factor=chosen.temperature_factor,
        trials=finished_trials(study),
        gains={name: gain(vanilla.evidence, found) for name, found in rivals.items()},
        recommendation=recommend({BASELINE: vanilla.evidence} | rivals, cheapest=LINEAR_PROBE),
    )
