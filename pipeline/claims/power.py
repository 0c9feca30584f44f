"""Which effect a number of seeds could have shown."""

from scipy.optimize import brentq
from scipy.stats import nct
from scipy.stats import t as student

SIGNIFICANCE = 0.05
LARGE = 10.0  # standard errors; what is so far above the critical value is always found


def smallest_effect(deviation: float, seeds: int, power: float = 0.8) -> float:
    """The mean paired difference that a two-sided t-test at 5% finds with this probability.

    Args:
        deviation: of the paired differences over seeds, > 0; the effect has its unit.
        seeds: at least 2.
        power: in (0.025, 1). A finding of the wrong sign, of probability below 0.001, is none.

    Source: Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, chapter 2, by the
    noncentral t distribution.
    """
    freedom = seeds - 1
    critical = float(student.ppf(1 - SIGNIFICANCE / 2, freedom))

    def missing(shift: float) -> float:
        return float(nct.sf(critical, freedom, shift)) - power

    shift = float(brentq(missing, 0.0, critical + LARGE))
    return shift * deviation / seeds**0.5
