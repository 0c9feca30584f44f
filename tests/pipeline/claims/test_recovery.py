"""How much of a known relationship was learned, on rows made by hand."""

import math

import pytest
import torch

from pipeline.claims.recovery import divergence_from_truth, recovered_mass

TRUTH = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]).double()


def test_the_recovered_mass_lies_on_the_true_categories() -> None:
    learned = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.2, 0.1, 0.6, 0.1]]).double()
    assert recovered_mass(learned, TRUTH) == pytest.approx((0.8 + 0.6) / 2)
    assert recovered_mass(TRUTH, TRUTH) == 1


def test_the_divergence_is_that_of_smoothed_rows() -> None:
    learned = torch.full((2, 4), 0.25).double()

    def share(p: float) -> float:
        smooth = 0.999 * p + 0.001 / 4
        return smooth * math.log(smooth / 0.25)

    expected = (2 * share(0.5) + 2 * share(0) + share(1) + 3 * share(0)) / 2
    assert divergence_from_truth(learned, TRUTH) == pytest.approx(expected)
    assert divergence_from_truth(TRUTH, TRUTH) == 0
