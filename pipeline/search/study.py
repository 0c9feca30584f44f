"""The search over source weight and temperature: an Optuna study that processes share."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
import pandas as pd
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline.search import storage
from pipeline.search.choice import Candidate, gain
from pipeline.search.difference import Evidence
from pipeline.search.shared_trials import FINISHED, SECONDS_BETWEEN_LOOKS, SharedTrials

CLEARLY_WORSE = 0.1  # p of the signed-rank test on the folds of two trials

DIGITS = 6
COLUMNS = (
    *("number", "state", "source_weight", "temperature_factor", "temperature"),
    *("held_out_nll", "held_out_accuracy", "gain", "gain_low", "gain_high", "folds", "seconds"),
)

log = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class StudyPlace:
    """Where a study lies.

    Attributes:
        storage: URL or path, as `pipeline.search.storage.open_storage` takes it.
        name: one name, one question (key it to everything that matters).
        shared: processes that this call does not know may work on it, on other machines say.
    """

    storage: str = field(repr=False)  # may hold a password
    name: str
    shared: bool


def open_study(place: StudyPlace, seed: int) -> optuna.Study:
    """Create the study, or go on with one that was interrupted.

    In a study that is not shared all trials that a killed process left running are closed; in
    one that is, each process closes those of dead ones as it works. Call it once before any
    worker starts.

    Raises:
        UserError: the storage cannot be opened.
    """
    study = join_study(place, seed)
    if not place.shared:
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
    return study


def join_study(place: StudyPlace, seed: int) -> optuna.Study:
    """Open the study from one more process."""
    study = storage.open_study(place.storage, place.name)
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        study.sampler = new_sampler(seed)
        study.pruner = optuna.pruners.WilcoxonPruner(p_threshold=CLEARLY_WORSE)
    return study


def new_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Points that cover the search space evenly, whatever was found before."""
    return optuna.samplers.QMCSampler(
        qmc_type="halton", scramble=True, seed=seed, warn_independent_sampling=False
    )


def work_off(
    shared: SharedTrials, space: SearchSpace, run_trial: Callable[[Trial], float], trials: int
) -> None:
    """Run trials until the study has `trials` finished ones, whoever ran them, and no more."""
    is_waiting = False
    while finished_trials(shared.study) < trials:
        if trial := _claim(shared, space, trials):
            shared.run(trial, run_trial)
        else:
            if not is_waiting:
                log.info("tune: the last trials are being run by other processes; waiting for them")
            is_waiting = True
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _claim(shared: SharedTrials, space: SearchSpace, trials: int) -> Trial | None:
    """The next trial: one of the first as long as nobody has it; None while none is left."""

    def has_room(before: Sequence[FrozenTrial]) -> bool:
        return len(before) < trials

    for first in space.first_trials():

        def lacks_it(before: Sequence[FrozenTrial], first: dict[str, float] = first) -> bool:
            return has_room(before) and first not in [
                trial.system_attrs.get("fixed_params") for trial in before
            ]

        if trial := shared.claim(lacks_it, {"given": True}, first):
            return trial
    return shared.claim(has_room)


def finished_trials(study: optuna.Study) -> int:
    """How many trials are complete or pruned."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def is_given(trial: Trial | FrozenTrial) -> bool:
    """Whether it is one of the first two, which are always trained to the end."""
    return bool(trial.user_attrs.get("given"))


def keep_evidence(trial: Trial, found: Evidence) -> None:
    trial.set_user_attr("losses", found.losses.round(DIGITS).tolist())
    trial.set_user_attr("correct", found.correct.round(DIGITS).tolist())


def candidates(study: optuna.Study) -> tuple[Candidate | None, list[Candidate]]:
    """Vanilla, None where it was not trained to the end, and of Co-Tuning what was."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found = [_candidate(trial) for trial in complete]
    vanilla = [one for one in found if one.source_weight == 0]
    return vanilla[0] if vanilla else None, [one for one in found if one.source_weight > 0]


def trials_table(study: optuna.Study, temperature: float) -> pd.DataFrame:
    """A row a trial: number, state, source_weight, temperature_factor, temperature,
    held_out_nll (nats, at its own temperature), held_out_accuracy, gain over vanilla in
    log-likelihood (nats) with gain_low and gain_high, folds, seconds. What a trial that is not
    complete does not know is empty.
    """
    vanilla, others = candidates(study)
    judged = {one.number: one for one in (vanilla, *others) if one}
    rows = [
        _row(trial, temperature) | _evidence(judged.get(trial.number), vanilla)
        for trial in study.get_trials(deepcopy=False)
        if trial.params
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _candidate(trial: FrozenTrial) -> Candidate:
    losses, correct = (np.array(trial.user_attrs[name]) for name in ("losses", "correct"))
    return Candidate(
        trial.number,
        trial.params["source_weight"],
        trial.params["temperature_factor"],
        Evidence(losses, correct),
    )


def _row(trial: FrozenTrial, temperature: float) -> dict[str, object]:
    duration = trial.duration
    return {
        "number": trial.number,
        "state": trial.state.name,
        "source_weight": trial.params["source_weight"],
        "temperature_factor": trial.params["temperature_factor"],
        "temperature": temperature * trial.params["temperature_factor"],
        "folds": len(trial.intermediate_values),
        "seconds": round(duration.total_seconds(), 1) if duration else None,
    }


def _evidence(judged: Candidate | None, vanilla: Candidate | None) -> dict[str, object]:
    if judged is None:
        return {}
    row: dict[str, object] = {
        "held_out_nll": judged.loss,
        "held_out_accuracy": float(judged.evidence.correct.mean()),
    }
    if vanilla and judged.source_weight > 0:
        found = gain(vanilla.evidence, judged.evidence).log_likelihood
        row |= {"gain": found.mean, "gain_low": found.low, "gain_high": found.high}
    return row
