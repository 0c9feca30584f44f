"""The search over source weight and temperature: an Optuna study in a journal file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
STARTUP_TRIALS = 4

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True)
class SearchSpace:
    """What is searched: source weight in [0, max_source_weight], uniform, and the factor of the
    calibrated temperature in [1/max_temperature_factor, max_temperature_factor], log-uniform.

    The first two trials are vanilla fine-tuning (weight 0) and the given start.
    """

    source_weight: float
    temperature_factor: float
    max_source_weight: float
    max_temperature_factor: float

    def suggest(self, trial: Trial) -> tuple[float, float]:
        """Source weight and temperature factor of a trial."""
        highest = self.max_temperature_factor
        return (
            trial.suggest_float("source_weight", 0.0, self.max_source_weight),
            trial.suggest_float("temperature_factor", 1 / highest, highest, log=True),
        )

    def first_trials(self) -> list[dict[str, float]]:
        return [
            {"source_weight": 0.0, "temperature_factor": 1.0},
            {
                "source_weight": self.source_weight,
                "temperature_factor": self.temperature_factor,
            },
        ]


def open_study(journal: Path, space: SearchSpace, trials: int, seed: int) -> optuna.Study:
    """Create the study, or go on with one that was interrupted.

    Trials that a killed process left running are closed; the first trials are queued again
    unless they are finished. Call it once before any worker starts.

    Args:
        journal: the study's file; one file, one question (key it to everything that matters).
        trials: how many the search will finish; at most so many first trials are queued.
    """
    study = join_study(journal, seed)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    alive = study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.WAITING))
    known = [trial.params or trial.system_attrs.get("fixed_params") for trial in alive]
    for first in space.first_trials()[:trials]:
        if first not in known:
            study.enqueue_trial(first)
    return study


def join_study(journal: Path, seed: int) -> optuna.Study:
    """Open the study from one more process."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    backend = JournalFileBackend(str(journal), lock_obj=JournalFileOpenLock(str(journal)))
    storage = JournalStorage(backend)
    study = optuna.create_study(
        storage=storage, study_name="tune", direction="minimize", load_if_exists=True
    )
    done = len(study.get_trials(deepcopy=False, states=FINISHED))
    study.sampler = optuna.samplers.TPESampler(seed=seed + done, n_startup_trials=STARTUP_TRIALS)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2)
    return study


def work_off(study: optuna.Study, run_trial: Callable[[Trial], float], trials: int) -> None:
    """Run trials until the study has `trials` finished ones, whoever ran them."""
    while finished_trials(study) < trials:
        study.optimize(run_trial, n_trials=1)


def finished_trials(study: optuna.Study) -> int:
    """How many trials are complete or pruned."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def trials_table(study: optuna.Study, temperature: float) -> pd.DataFrame:
    """A row a trial: number, state, source_weight, temperature_factor, temperature,
    validation_nll (nats, the best epoch's), epochs, seconds.
    """
    columns = (
        *("number", "state", "source_weight", "temperature_factor", "temperature"),
        *("validation_nll", "epochs", "seconds"),
    )
    rows = [_row(trial, temperature) for trial in study.get_trials(deepcopy=False) if trial.params]
    return pd.DataFrame(rows, columns=list(columns))


def _row(trial: FrozenTrial, temperature: float) -> Mapping[str, object]:
    values = trial.intermediate_values
    duration = trial.duration
    return {
        "number": trial.number,
        "state": trial.state.name,
        "source_weight": trial.params["source_weight"],
        "temperature_factor": trial.params["temperature_factor"],
        "temperature": temperature * trial.params["temperature_factor"],
        "validation_nll": min(values.values()) if values else None,
        "epochs": len(values),
        "seconds": round(duration.total_seconds(), 1) if duration else None,
    }
