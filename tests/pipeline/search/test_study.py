import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from work import SPACE, bowl_value

from pipeline.search.difference import Evidence
from pipeline.search.shared_trials import SharedTrials
from pipeline.search.study import (
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


def search(study, trials, run_trial=bowl_value):
    work_off(SharedTrials(study), SPACE, run_trial, trials)
    return study


def local(path):
    return StudyPlace(str(path), "tune", shared=False)


@pytest.fixture
def journal(tmp_path):
    return local(tmp_path / "tune.log")


def test_vanilla_and_the_start_come_first(journal):
    study = open_study(journal, seed=0)
    search(study, 4)
    assert [trial.params["source_weight"] for trial in study.trials[:2]] == [0.0, 2.3]
    assert all(0 <= trial.params["source_weight"] <= 5 for trial in study.trials)
    assert all(0.5 <= trial.params["temperature_factor"] <= 2 for trial in study.trials)


def test_the_same_seed_searches_the_same_points(tmp_path):
    def points(name):
        study = open_study(local(tmp_path / name), seed=3)
        search(study, 6)
        return [trial.params for trial in study.trials]

    assert points("first") == points("second")


def test_a_search_that_was_killed_goes_on_and_repeats_what_it_had_not_finished(journal):
    study = open_study(journal, seed=0)
    search(study, 1)
    study.ask()
    resumed = open_study(journal, seed=0)
    assert not resumed.get_trials(states=(TrialState.RUNNING,))
    search(resumed, 4)
    done = resumed.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == 4
    assert sorted(trial.params["source_weight"] for trial in done)[0] == 0
    assert 2.3 in [trial.params["source_weight"] for trial in done]


def test_a_finished_search_runs_nothing_and_can_be_made_longer(journal):
    search(open_study(journal, seed=0), 3)
    study = open_study(journal, seed=0)
    search(study, 3)
    assert finished_trials(study) == 3
    search(open_study(journal, seed=0), 5)
    assert finished_trials(join_study(journal, seed=0)) == 5


def test_pruned_trials_count_as_finished(journal):
    def prune(trial):
        SPACE.suggest(trial)
        raise optuna.TrialPruned

    study = open_study(journal, seed=0)
    search(study, 2, prune)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * 2


def test_the_table_has_a_row_a_trial_its_temperature_and_its_gain_over_vanilla(journal):
    study = open_study(journal, seed=0)
    search(study, 3)
    table = trials_table(study, temperature=1.5)
    assert table["number"].tolist() == [0, 1, 2]
    assert table["held_out_nll"].tolist()[:2] == [1.0, pytest.approx(1.69)]
    assert table["held_out_accuracy"].tolist() == [0.5] * 3
    assert np.isnan(table["gain"][0])
    assert table["gain"][1] == pytest.approx(-0.69)
    assert table["temperature"].tolist() == [1.5 * f for f in table["temperature_factor"]]


def test_what_was_pruned_is_no_candidate_and_a_missing_vanilla_is_said(journal):
    def prune_vanilla(trial):
        value = bowl_value(trial)
        if value == 1:
            raise optuna.TrialPruned
        return value

    study = open_study(journal, seed=0)
    search(study, 3, prune_vanilla)
    vanilla, others = candidates(study)
    assert vanilla is None
    assert [one.number for one in others] == [1, 2]
    assert np.isnan(trials_table(study, 1.0).loc[[0], "held_out_nll"]).all()


def test_a_candidate_that_is_worse_on_every_fold_is_pruned_but_never_a_given_one(journal):
    """A signed-rank test on four folds can reach p = 1/16."""

    def on_folds(trial):
        weight, _ = SPACE.suggest(trial)
        for fold in range(1, 9):
            trial.report(weight + 0.01 * fold, fold)
            if not is_given(trial) and trial.should_prune():
                raise optuna.TrialPruned
        keep_evidence(trial, Evidence(np.full(2, weight), np.ones(2)))
        return weight

    study = open_study(journal, seed=0)
    search(study, 5, on_folds)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE] * 2 + [TrialState.PRUNED] * 3
    assert [len(trial.intermediate_values) for trial in study.trials] == [8, 8, 4, 4, 4]
