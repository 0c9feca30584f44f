"""Trials of one Optuna study that processes take turns at, on one machine or on many.

Optuna 5.0 does not do this: fail_stale_trials passes over every JournalStorage (no BaseHeartbeat)
and over trials killed before their first beat, and has a grace period on the same machine too. Of
trials that RetryHeartbeatStaleTrialCallback queues, RDBStorage.set_trial_state_values lets two
processes start one in SQLite. MaxTrialsCallback counts what is finished: machines overrun a budget.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline.common.processes import is_alive, process_tags, this_machine

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
SECONDS_BETWEEN_LOOKS = 2.0  # of a process that waits for the trials or cells of others
BEAT_SECONDS = 30.0
# After so many seconds without a beat a trial is given to another process. Ten beats: a database
# that restarts or a file system that hangs for a while must not cost a trial of hours.
PATIENCE = 300.0

log = logging.getLogger(__name__)


class SharedTrials:
    """Claims and runs trials of a study, each of them by one process at a time.

    A claim is a new trial in which its process is written, and it counts only if the trials with
    lower numbers leave room for it. Creating a trial is atomic in databases and in journals and
    numbers them in one order for all.

    Args:
        study: of which every process has its own object.
        machine: tells processes of this machine, whose end can be seen, from those of others.
        beat_seconds: between two signs of life of a running trial.
        patience: seconds without one after which it is closed. Counted by the clock of who is
            looking, so that the machines' clocks need not agree.
    """

    def __init__(
        self,
        study: optuna.Study,
        machine: str = this_machine(),
        beat_seconds: float = BEAT_SECONDS,
        patience: float = PATIENCE,
    ) -> None:
        self.study = study
        self.machine = machine
        self.beat_seconds = beat_seconds
        self.patience = patience
        self._last_beats: dict[int, tuple[str | None, float]] = {}

    def standing(self) -> list[FrozenTrial]:
        """The finished trials and those that are being run; those of dead processes are closed."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._is_dead(trial):
                log.warning("trial %d: its process is gone; it is run again", trial.number)
                self._close(trial.number)
        # One that was taken for dead may have been finished before it ended.
        return self.study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))

    def claim(
        self,
        is_free: Callable[[Sequence[FrozenTrial]], bool],
        attributes: Mapping[str, Any] | None = None,
        fixed_params: Mapping[str, float] | None = None,
    ) -> Trial | None:
        """Start a trial if those before it leave room for it, None if they do not.

        Args:
            is_free: of the standing trials with lower numbers.
            attributes: what the trial is about, as JSON types.
            fixed_params: parameters that are not to be sampled.
        """
        if not is_free(self.standing()):
            return None
        mark = uuid.uuid4().hex
        marks = {"claim": mark, "machine": self.machine, "beat": _now()} | process_tags()
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                user_attrs=marks | dict(attributes or {}),
                system_attrs={"fixed_params": dict(fixed_params)} if fixed_params else {},
            )
        )
        standing = self.standing()
        claimed = next(trial for trial in standing if trial.user_attrs.get("claim") == mark)
        if is_free([trial for trial in standing if trial.number < claimed.number]):
            # study.ask() would make another trial of its own.
            return Trial(self.study, claimed._trial_id)
        self._close(claimed.number)
        return None

    def run(self, trial: Trial, work: Callable[[Trial], float]) -> None:
        """Finish a claimed trial with the value of `work`, or as pruned where it says so.

        What another process has closed in the meantime is lost.
        """
        state = value = None
        try:
            with self._beating(trial):
                value = work(trial)
        except optuna.TrialPruned:
            state = TrialState.PRUNED
        except UpdateFinishedTrialError:
            log.warning("trial %d was taken for dead; another process runs it", trial.number)
            return
        except BaseException:
            self._close(trial.number)
            raise
        with suppress(UpdateFinishedTrialError):
            self.study.tell(trial, value, state, skip_if_finished=True)

    @contextmanager
    def _beating(self, trial: Trial) -> Iterator[None]:
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.beat_seconds):
                try:
                    trial.set_user_attr("beat", _now())
                except UpdateFinishedTrialError:
                    return
                except Exception as error:  # a beat that fails must not end the trial
                    log.warning("trial %d: no sign of life: %s", trial.number, type(error).__name__)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _is_dead(self, trial: FrozenTrial) -> bool:
        attributes = trial.user_attrs
        if attributes.get("machine") == self.machine and not is_alive(int(attributes["pid"])):
            return True
        beat, now = attributes.get("beat"), time.monotonic()
        last, since = self._last_beats.get(trial.number, (None, now))
        if beat != last:
            since = now
        self._last_beats[trial.number] = (beat, since)
        return now - since > self.patience

    def _close(self, number: int) -> None:
        with suppress(UpdateFinishedTrialError):
            self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
