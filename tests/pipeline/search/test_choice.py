import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.search.choice import Candidate, choose, gain, recommend
from pipeline.search.difference import Evidence, difference

NOISE = np.random.default_rng(0).normal(0, 0.3, (9, 60))


def candidate(number: int, weight: float, loss: float, factor: float = 1.0) -> Candidate:
    losses = loss + NOISE[number] - NOISE[number].mean()
    return Candidate(number, weight, factor, Evidence(losses, (losses < loss) * 1.0))


def test_the_default_stays_where_others_are_better_within_the_noise_only() -> None:
    default, other = candidate(1, 2.3, 1.0), candidate(2, 4.0, 0.99)
    assert choose([default, other], 2.3, 1.0) == default


def test_the_default_is_left_for_what_is_clearly_better() -> None:
    default, better = candidate(1, 2.3, 1.0), candidate(2, 0.5, 0.7)
    assert choose([default, better], 2.3, 1.0) == better


def test_of_those_that_are_close_to_the_best_the_nearest_to_the_default_is_taken() -> None:
    default = candidate(1, 2.3, 1.0)
    best, near, far = (candidate(n, w, 0.7) for n, w in ((2, 0.2), (3, 1.0), (4, 5.0)))
    chosen = choose([default, best, near, far], 2.3, 1.0)
    assert chosen == far
    assert choose([default, best, near], 2.3, 1.0) == near


def test_a_temperature_counts_as_a_distance_too() -> None:
    same_weight, same_factor = candidate(1, 2.3, 0.7, factor=2.0), candidate(2, 2.0, 0.7)
    assert choose([same_weight, same_factor], 2.3, 1.0) == same_factor


@given(st.lists(st.tuples(st.floats(0.1, 5.0), st.floats(0.5, 1.5)), min_size=1, max_size=8))
def test_what_is_chosen_is_never_worse_by_over_a_standard_error(
    given: list[tuple[float, float]],
) -> None:
    candidates = [candidate(number, *values) for number, values in enumerate(given)]
    chosen = choose(candidates, 2.3, 1.0)
    best = min(candidates, key=lambda one: one.loss)
    found = difference(best.evidence.losses, chosen.evidence.losses)
    assert found.mean <= found.standard_error


@pytest.mark.parametrize("loss", [0.9, 1.1])
def test_a_gain_is_positive_where_the_candidate_is_better(loss: float) -> None:
    found = gain(candidate(0, 0.0, 1.0).evidence, candidate(1, 2.3, loss).evidence)
    assert found.log_likelihood.mean == pytest.approx(1.0 - loss)


def test_the_method_of_the_highest_likelihood_is_recommended_with_its_lead_over_the_next() -> None:
    losses = {"vanilla": 1.0, "co-tuning": 0.8, "linear-probe": 1.2}
    methods = {
        name: candidate(number, 0.0, loss).evidence
        for number, (name, loss) in enumerate(losses.items())
    }
    found = recommend(methods, "linear-probe")
    assert (found.method, found.runner_up) == ("co-tuning", "vanilla")
    assert found.lead == difference(methods["co-tuning"].losses, methods["vanilla"].losses)
    assert found.lead.mean == pytest.approx(0.2)


@pytest.mark.parametrize(("behind", "taken"), [(0.5, True), (1.99, True), (2.01, False)])
def test_the_cheapest_is_left_only_for_what_is_better_by_over_two_standard_errors(
    behind: float, taken: bool
) -> None:
    noise = np.random.default_rng(0).normal(size=200)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * 200**0.5  # of standard error 1
    others = np.zeros(200)
    methods = {
        "vanilla": Evidence(others + 0.1, others),
        "co-tuning": Evidence(others, others),
        "linear-probe": Evidence(others + noise + behind, others),
    }
    found = recommend(methods, "linear-probe")
    expected = ("linear-probe", "co-tuning") if taken else ("co-tuning", "vanilla")
    assert (found.method, found.runner_up) == expected
    assert found.lead.mean == pytest.approx(-behind if taken else 0.1)


def test_without_the_cheapest_the_best_is_recommended_however_little_it_leads() -> None:
    methods = {
        name: candidate(number, 0.0, 1.0 - 0.01 * number).evidence
        for number, name in enumerate(("vanilla", "co-tuning"))
    }
    assert recommend(methods, "linear-probe").method == "co-tuning"
