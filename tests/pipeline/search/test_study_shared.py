"""One search by several processes that know nothing of each other but the storage."""

import textwrap
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sharing import kill_while_running, let_go, outputs, start, trials

from pipeline.search.shared_trials import FINISHED, SharedTrials
from pipeline.search.study import SearchSpace, StudyPlace, open_study, trials_table, work_off

SPACE = SearchSpace(2.3, 1.0, max_source_weight=5.0, max_temperature_factor=2.0)
TRIALS = 7
SEARCH = textwrap.dedent(f"""
    import sys, time
    from pipeline.search.study import SearchSpace, StudyPlace, open_study, trials_table, work_off
    from pipeline.search.shared_trials import SharedTrials

    space = SearchSpace(2.3, 1.0, max_source_weight=5.0, max_temperature_factor=2.0)

    def bowl(trial):
        weight, factor = space.suggest(trial)
        trial.report((weight - 1) ** 2 + (factor - 1) ** 2, 1)
        time.sleep(float(sys.argv[2]))
        return (weight - 1) ** 2 + (factor - 1) ** 2

    print("ready", flush=True)
    sys.stdin.readline()
    study = open_study(StudyPlace(sys.argv[1], "tune-key", shared=True), seed=0)
    work_off(SharedTrials(study), space, bowl, {TRIALS})
    print(study.best_params)
    print(trials_table(study, 1.5).to_csv())
""")


@pytest.fixture(params=["sqlite:///{}/tune.db", "{}/tune.log"], ids=["database", "journal"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param.format(tmp_path)


def test_machines_share_the_budget_and_agree_on_the_best(place: str) -> None:
    machines = [start(SEARCH, place, 0.1) for _ in range(3)]
    let_go(*machines)
    first, second, third = outputs(*machines)
    assert first == second == third
    finished = trials(place, "tune-key", *FINISHED)
    assert len(finished) == TRIALS
    weights = [trial.params["source_weight"] for trial in finished]
    assert weights.count(0.0) == weights.count(2.3) == 1
    assert len(set(weights)) == TRIALS
    assert len({trial.user_attrs["pid"] for trial in finished}) > 1


def test_the_trial_of_a_killed_machine_is_made_up(place: str) -> None:
    killed, other = start(SEARCH, place, 600), start(SEARCH, place, 0)
    let_go(killed)
    lost = kill_while_running(killed, place, "tune-key")
    let_go(other)
    outputs(other)
    assert trials(place, "tune-key")[lost.number].state == TrialState.FAIL
    finished = trials(place, "tune-key", *FINISHED)
    assert len(finished) == TRIALS
    assert lost.system_attrs["fixed_params"] in [trial.params for trial in finished]


def test_the_live_trial_of_another_machine_is_waited_for(place: str) -> None:
    running, other = start(SEARCH, place, 1), start(SEARCH, place, 0)
    let_go(running)
    while not (found := trials(place, "tune-key", TrialState.RUNNING)):
        time.sleep(0.02)
    let_go(other)
    first, second = outputs(running, other)
    assert first == second
    assert found[0].number in [trial.number for trial in trials(place, "tune-key", *FINISHED)]
    assert len(trials(place, "tune-key", *FINISHED)) == TRIALS


def test_a_study_that_is_shared_keeps_the_running_trials_of_others(place: str) -> None:
    def study(shared: bool):
        return open_study(StudyPlace(place, "tune-key", shared), seed=0)

    SharedTrials(study(True)).claim(lambda before: True)
    assert study(True).trials[0].state == TrialState.RUNNING
    assert study(False).trials[0].state == TrialState.FAIL


def test_studies_of_other_names_do_not_mix(place: str) -> None:
    def search(name: str) -> int:
        study = open_study(StudyPlace(place, name, shared=True), seed=0)
        work_off(SharedTrials(study), SPACE, lambda trial: sum(SPACE.suggest(trial)), 3)
        return len(trials_table(study, 1.0))

    assert [search(name) for name in ("tune-one", "tune-other", "tune-one")] == [3, 3, 3]


def test_a_place_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(StudyPlace("mysql://user:hunter2@host/name", "tune", True))
