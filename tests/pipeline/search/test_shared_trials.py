"""Trials that real processes take turns at, in a database and in a journal."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, Trial, TrialState
from sharing import PATIENCE, Started, let_go, trials, wait_until
from work import anyhow, hold_one, nobody_has, take_all

from pipeline.search.shared_trials import SharedTrials
from pipeline.search.storage import open_study


@pytest.fixture(params=["sqlite:///{}/trials.db", "{}/trials.log"], ids=["database", "journal"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param.format(tmp_path)


def shared_trials(place: str, **options: object) -> SharedTrials:
    return SharedTrials(open_study(place, "x"), **options)


@pytest.mark.processes
def test_processes_that_race_for_the_same_things_take_each_once(place: str) -> None:
    processes = [Started(take_all, place, 12) for _ in range(3)]
    let_go(*processes)
    taken = [item for process in processes for item in process.says()]
    assert sorted(taken) == list(range(12))
    finished = trials(place, "x", TrialState.COMPLETE)
    assert sorted(trial.value for trial in finished) == list(range(12))


def test_a_claim_yields_to_an_earlier_one(place: str) -> None:
    first, second = shared_trials(place), shared_trials(place)
    trial = first.claim(nobody_has("a"), {"item": "a"})
    assert trial is not None
    assert second.claim(nobody_has("a"), {"item": "a"}) is None
    other = second.claim(nobody_has("b"), {"item": "b"}, {"weight": 0.5})
    assert other is not None
    assert other.suggest_float("weight", 0, 1) == 0.5
    assert [one.number for one in first.standing()] == [trial.number, other.number]


def test_one_that_comes_between_a_look_and_a_claim_wins(place: str) -> None:
    first, second = shared_trials(place), shared_trials(place)
    earlier: list[Trial | None] = []

    def is_free(before: Sequence[FrozenTrial]) -> bool:
        free = nobody_has("a")(before)
        if not earlier:
            earlier.append(first.claim(nobody_has("a"), {"item": "a"}))
        return free

    assert second.claim(is_free, {"item": "a"}) is None
    assert earlier[0] is not None
    assert [trial.state for trial in trials(place, "x")] == [TrialState.RUNNING, TrialState.FAIL]


def test_how_the_work_ends_is_how_the_trial_ends(place: str) -> None:
    shared = shared_trials(place)

    def run(work) -> None:
        trial = shared.claim(anyhow)
        assert trial is not None
        shared.run(trial, work)

    def prune(trial: Trial) -> float:
        trial.report(4.0, 1)
        raise optuna.TrialPruned

    def fail(trial: Trial) -> float:
        raise KeyboardInterrupt

    run(lambda trial: 1.5)
    run(prune)
    with pytest.raises(KeyboardInterrupt):
        run(fail)
    found = [(trial.state.name, trial.value) for trial in trials(place, "x")]
    assert found == [("COMPLETE", 1.5), ("PRUNED", 4.0), ("FAIL", None)]
    assert len(shared.standing()) == 2


@pytest.mark.processes
def test_the_trial_of_a_process_killed_on_this_machine_is_free_at_once(place: str) -> None:
    process, shared = Started(hold_one, place, {}), shared_trials(place)
    number = process.says()
    (lost,) = shared.standing()
    assert (lost.number, lost.user_attrs["pid"]) == (number, str(process.process.pid))
    process.kill(place)
    assert shared.standing() == []
    assert trials(place, "x")[number].state == TrialState.FAIL


@pytest.mark.processes
def test_the_trial_of_another_machine_is_free_when_its_beats_end(place: str) -> None:
    process = Started(hold_one, place, {"machine": "another machine", "beat_seconds": 0.1})
    number = process.says()
    # One without patience takes each trial for dead that has not beaten since it last looked.
    hasty, patient = shared_trials(place, patience=0.0), shared_trials(place, patience=PATIENCE)
    for _ in range(2):
        seen = trials(place, "x")[number].user_attrs["beat"]
        assert len(hasty.standing()) == 1
        wait_until(lambda seen=seen: trials(place, "x")[number].user_attrs["beat"] != seen)
    process.kill(place)
    assert [len(patient.standing()) for _ in range(2)] == [1, 1]
    wait_until(lambda: not hasty.standing())
    assert patient.standing() == []
    assert trials(place, "x")[number].state == TrialState.FAIL


def test_a_process_number_says_nothing_of_another_machine(place: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for machine, number in (("another machine", ended.pid), ("another machine", os.getpid())):
        shared_trials(place).study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                user_attrs={"machine": machine, "pid": str(number), "beat": "1"},
            )
        )
    assert len(shared_trials(place).standing()) == 2


def test_what_was_taken_for_dead_is_lost_and_nothing_else(place: str) -> None:
    shared, other = shared_trials(place), shared_trials(place, machine="other", patience=0.0)
    for end in (lambda trial: 1.0, lambda trial: trial.report(1.0, 1)):
        trial = shared.claim(anyhow)
        assert trial is not None

        def work(trial: Trial, end=end) -> float:
            wait_until(lambda: not other.standing())
            return end(trial)

        shared.run(trial, work)
    assert [trial.state for trial in trials(place, "x")] == [TrialState.FAIL] * 2
