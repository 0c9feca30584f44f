"""Which candidate of a search is taken, and which method is recommended."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.search.difference import Difference, Evidence, difference

CLOSE = 1.0  # standard errors, within which a candidate is as good as the best one
CLEAR = 2.0  # standard errors, beyond which a lead is hardly chance


@dataclass(frozen=True)
class Candidate:
    """A source weight, a factor of the calibrated temperature, and what held-out images say."""

    number: int
    source_weight: float
    temperature_factor: float
    evidence: Evidence

    @property
    def loss(self) -> float:
        """Mean over the held-out images, in nats."""
        return float(self.evidence.losses.mean())


@dataclass(frozen=True)
class Gain:
    """By how much a method is better than vanilla on held-out images, positive where it is.

    Attributes:
        log_likelihood: in nats, each at its own temperature.
        accuracy: in [-1, 1].
    """

    log_likelihood: Difference
    accuracy: Difference


@dataclass(frozen=True)
class Recommendation:
    """The method that held-out images speak for.

    Attributes:
        method: the one of the highest likelihood, in which images say most, or the cheapest.
        runner_up: the best of the others.
        lead: over the runner-up in log-likelihood, nats; at most 0 where the cheapest is taken
            although another one was ahead.
    """

    method: str
    runner_up: str
    lead: Difference


def is_worse(evidence: Evidence, best: Evidence, standard_errors: float) -> bool:
    """By more than so many standard errors of the paired difference in loss."""
    to_best = difference(best.losses, evidence.losses)
    return to_best.mean > standard_errors * to_best.standard_error


def choose(
    candidates: Sequence[Candidate], source_weight: float, temperature_factor: float
) -> Candidate:
    """The one nearest to the default among those that are close to the best.

    Args:
        candidates: at least one, all of Co-Tuning, judged on the same images.
        source_weight, temperature_factor: the default; distances are those of the logarithms.

    Source: the one-standard-error rule, Breiman et al., Classification and Regression Trees, 1984,
    section 3.4.3, here with paired differences.
    """
    best = min(candidates, key=lambda candidate: candidate.loss)

    def is_close(candidate: Candidate) -> bool:
        return not is_worse(candidate.evidence, best.evidence, CLOSE)

    def distance(candidate: Candidate) -> float:
        return math.hypot(
            math.log(candidate.source_weight / source_weight),
            math.log(candidate.temperature_factor / temperature_factor),
        )

    return min(filter(is_close, candidates), key=distance)


def gain(vanilla: Evidence, method: Evidence) -> Gain:
    """Of a method over vanilla, on the same images."""
    return Gain(
        difference(method.losses, vanilla.losses), difference(vanilla.correct, method.correct)
    )


def recommend(methods: Mapping[str, Evidence], cheapest: str) -> Recommendation:
    """The method that predicts held-out images best, each at its own temperature.

    The cheapest is left only where it is clearly worse: the others cost far more, and trained on
    another machine, which rounds otherwise, they move by a good part of a standard error.

    Args:
        methods: two or more, by name, judged on the same images.
        cheapest: of these where it is one; the others are all alike in what they cost.
    """
    best, *others = sorted(methods, key=lambda name: methods[name].losses.mean())
    taken, runner_up = best, others[0]
    if cheapest in others and not is_worse(methods[cheapest], methods[best], CLEAR):
        taken, runner_up = cheapest, best
    lead = difference(methods[taken].losses, methods[runner_up].losses)
    return Recommendation(taken, runner_up, lead)
