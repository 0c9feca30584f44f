"""One search by several processes that know nothing of each other but the storage."""

from pathlib import Path

import pytest
from optuna.trial import TrialState
from sharing import Started, let_go, trials, wait_until
from work import SPACE, bowl_value, search

from pipeline.search.shared_trials import FINISHED, SharedTrials
from pipeline.search.study import StudyPlace, open_study, trials_table, work_off

TRIALS = 7


@pytest.fixture(params=["sqlite:///{}/tune.db", "{}/tune.log"], ids=["database", "journal"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param.format(tmp_path)


@pytest.mark.processes
def test_machines_share_the_budget_make_up_for_a_killed_one_and_wait_for_a_slow_one(
    place: str,
) -> None:
    machines = [Started(search, place, TRIALS) for _ in range(3)]
    held = []
    for machine in machines:
        let_go(machine)
        held.append(machine.says())
    killed, quick, slow = machines
    running = trials(place, "tune-key", TrialState.RUNNING)
    assert [trial.number for trial in running] == held
    killed.kill(place)
    quick.go_on()
    wait_until(lambda: len(trials(place, "tune-key", *FINISHED)) == TRIALS - 1)
    assert slow.process.is_alive()
    assert not quick.line.poll()
    slow.go_on()
    assert quick.says() == slow.says()
    finished = trials(place, "tune-key", *FINISHED)
    assert len(finished) == TRIALS
    assert set(held[1:]) < {trial.number for trial in finished}
    assert trials(place, "tune-key")[held[0]].state == TrialState.FAIL
    weights = [trial.params["source_weight"] for trial in finished]
    assert weights.count(0.0) == weights.count(2.3) == 1
    assert len(set(weights)) == TRIALS
    assert running[0].params == SPACE.first_trials()[0]
    assert running[0].params in [trial.params for trial in finished]


def test_a_study_that_is_shared_keeps_the_running_trials_of_others(place: str) -> None:
    def study(shared: bool):
        return open_study(StudyPlace(place, "tune-key", shared), seed=0)

    SharedTrials(study(True)).claim(lambda before: True)
    assert study(True).trials[0].state == TrialState.RUNNING
    assert study(False).trials[0].state == TrialState.FAIL


def test_studies_of_other_names_do_not_mix(place: str) -> None:
    def search(name: str) -> int:
        study = open_study(StudyPlace(place, name, shared=True), seed=0)
        work_off(SharedTrials(study), SPACE, bowl_value, 3)
        return len(trials_table(study, 1.0))

    assert [search(name) for name in ("tune-one", "tune-other", "tune-one")] == [3, 3, 3]


def test_a_place_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(StudyPlace("mysql://user:hunter2@host/name", "tune", True))
