"""What held-out images say: against scipy, and by what must not matter."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from pipeline.search.difference import difference
from pipeline.search.evidence import HeldOut, evidence_of, latest_loss

CLASSES = 4


def held_out(places: list[int], seed: int = 0, scale: float = 1.0) -> HeldOut:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(places) % CLASSES
    logits = torch.randn(len(places), CLASSES, generator=generator)
    logits[torch.arange(len(places)), labels] += 1
    return HeldOut(torch.tensor(places), scale * logits, labels)


def test_a_difference_is_that_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, 30), rng.normal(0.3, 1, 30)
    found, expected = difference(first, second), ttest_rel(second, first)
    interval = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx((second - first).mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean / found.standard_error == pytest.approx(expected.statistic)


@pytest.mark.parametrize("counts", [(1, 1), (3, 4)])
def test_what_is_not_paired_is_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="two or more pairs"):
        difference(*(np.zeros(count) for count in counts))


@given(st.floats(0.5, 2.0))
def test_being_too_sure_or_too_unsure_makes_no_candidate_worse(scale: float) -> None:
    places = list(range(40))
    as_it_is, scaled = (evidence_of([held_out(places, scale=by)]) for by in (1.0, scale))
    np.testing.assert_allclose(scaled.losses, as_it_is.losses, rtol=1e-4)
    np.testing.assert_array_equal(scaled.correct, as_it_is.correct)


def test_an_image_that_two_trainings_held_out_counts_once_by_its_mean() -> None:
    first, second = held_out([0, 2, 4], seed=0), held_out([4, 2, 7], seed=1)
    found = evidence_of([first, second])
    right = [part.logits.argmax(dim=1) == part.labels for part in (first, second)]
    expected = [right[0][0], (right[0][1] + 0.0 + right[1][1]) / 2]
    expected += [(right[0][2] + 0.0 + right[1][0]) / 2, right[1][2]]
    assert found.correct.tolist() == [float(value) for value in expected]
    assert len(found.losses) == 4


def test_many_images_are_a_thousand_numbers_of_the_same_mean() -> None:
    part = held_out(list(range(3000)))
    found = evidence_of([part])
    assert len(found.losses) == 1000
    right = (part.logits.argmax(dim=1) == part.labels).double().mean()
    assert found.correct.mean() == pytest.approx(float(right))


def test_the_latest_loss_is_of_the_latest_images_at_the_temperature_of_all() -> None:
    parts = [held_out([0, 1, 2, 3]), held_out([4, 5], seed=1)]
    assert latest_loss(parts) == pytest.approx(evidence_of(parts).losses[4:].mean())
