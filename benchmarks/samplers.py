"""Which sampler of Optuna, and how many candidates, a search as noisy as measured is worth.

    python benchmarks/samplers.py [--searches 200]

A search is simulated: what a candidate truly gains over vanilla falls off with the distance to a
best weight and temperature drawn at random, and each image's loss adds noise of the size that was
measured on photographs, drawings and the control. The choice is that of the project.
"""

import argparse
import math
from collections.abc import Callable

import numpy as np
import optuna
import pandas as pd

from pipeline.search.choice import Candidate, choose
from pipeline.search.difference import Evidence
from pipeline.search.study import SearchSpace, new_sampler

IMAGES, NOISE = 120, 0.45  # of one candidate's loss on one image, in nats
SPACE = SearchSpace(2.3, 1.0, max_source_weight=5.0, max_temperature_factor=2.0)
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=4),
    "Halton": new_sampler,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=200)
    searches = parser.parse_args().searches
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = [
        {"sampler": name, "trials": trials} | search(make(seed), trials, seed)
        for name, make in SAMPLERS.items()
        for trials in (2, 4, 8, 16)
        for seed in range(searches)
    ]
    found = pd.DataFrame(rows).groupby(["sampler", "trials"], sort=False)["gain"]
    print("Nats over vanilla of what is recommended, at best that of the peak or 0:")
    print(pd.DataFrame({"mean": found.mean(), "error": found.sem()}).round(4).to_string())


def search(sampler: optuna.samplers.BaseSampler, trials: int, seed: int) -> dict[str, float]:
    """What a search of so many trials, vanilla among them, truly gains."""
    generator = np.random.default_rng(seed)
    peak = generator.uniform(-0.1, 0.2)
    best_weight = math.exp(generator.uniform(math.log(0.3), math.log(5)))
    best_factor = math.exp(generator.uniform(-0.5, 0.5))

    def true_gain(weight: float, factor: float) -> float:
        distance = math.log(weight / best_weight) ** 2 + math.log(factor / best_factor) ** 2
        return peak - 0.1 * distance

    def judged(number: int, weight: float, factor: float) -> Candidate:
        loss = 1 - (true_gain(weight, factor) if weight else 0)
        losses = loss + generator.normal(0, NOISE, IMAGES)
        return Candidate(number, weight, factor, Evidence(losses, np.zeros(IMAGES)))

    study = optuna.create_study(sampler=sampler)
    for first in SPACE.first_trials():
        study.enqueue_trial(first)
    candidates = []
    for _ in range(trials):
        trial = study.ask()
        candidates.append(judged(trial.number, *SPACE.suggest(trial)))
        study.tell(trial, candidates[-1].loss)
    vanilla, *others = candidates
    chosen = choose(others, SPACE.source_weight, SPACE.temperature_factor)
    if vanilla.loss <= chosen.loss:
        return {"gain": 0.0}
    return {"gain": true_gain(chosen.source_weight, chosen.temperature_factor)}


if __name__ == "__main__":
    main()
