import numpy as np
import pytest
from scipy.stats import ttest_1samp

from pipeline.claims.power import smallest_effect


def test_by_cohens_table() -> None:
    """Cohen 1988, table 2.4.1: d = 0.50 in pairs of power 0.80 at 5% two-sided takes 34."""
    assert smallest_effect(1.0, 34) == pytest.approx(0.50, abs=0.01)


@pytest.mark.parametrize("seeds", [3, 10])
def test_a_simulated_experiment_finds_it_as_often_as_it_says(seeds: int) -> None:
    rng = np.random.default_rng(0)
    effect = smallest_effect(2.5, seeds)
    found = ttest_1samp(rng.normal(effect, 2.5, (20_000, seeds)), 0.0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_more_seeds_and_less_scatter_show_smaller_effects() -> None:
    assert smallest_effect(2.5, 10) < smallest_effect(2.5, 5) < smallest_effect(2.5, 3)
    assert smallest_effect(1.0, 5) == pytest.approx(smallest_effect(2.0, 5) / 2)
