"""What the processes of tests do; they wait for the test's word where it is to act."""

import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from optuna.trial import FrozenTrial, Trial
from sharing import meet

from pipeline.search import study
from pipeline.search.difference import Evidence
from pipeline.search.shared_trials import SharedTrials
from pipeline.search.storage import open_study
from pipeline.tracking.groups import grouped_run
from pipeline.tracking.runs import stage_run
from stages.cli import main

os.environ.pop("MLFLOW_TRACKING_URI", None)

SPACE = study.SearchSpace(2.3, 1.0, max_source_weight=5.0, max_temperature_factor=2.0)
GROUPS = ("fine-tune-cells", "20 images a class", "co-tuning")


def nobody_has(item: object) -> Callable[[Sequence[FrozenTrial]], bool]:
    return lambda before: item not in [trial.user_attrs["item"] for trial in before]


def anyhow(before: Sequence[FrozenTrial]) -> bool:
    return True


def open_when_told(line: Connection, place: str) -> None:
    """Say how many trials are there."""
    meet(line)
    line.send(len(open_study(place, "x").trials))


def take_all(line: Connection, place: str, items: int) -> None:
    """Run a trial an item that nobody has; say which."""
    shared = SharedTrials(open_study(place, "x"))
    meet(line)
    taken = []
    for item in range(items):
        if trial := shared.claim(nobody_has(item), {"item": item}):
            taken.append(item)
            shared.run(trial, lambda trial: float(trial.user_attrs["item"]))
    line.send(taken)


def hold_one(line: Connection, place: str, options: dict[str, object]) -> None:
    """Run a trial that ends at the word; say its number."""
    shared = SharedTrials(open_study(place, "x"), **options)

    def hold(trial: Trial) -> float:
        meet(line, trial.number)
        return 1.0

    shared.run(shared.claim(anyhow), hold)


def bowl_value(trial: Trial) -> float:
    """Lowest at weight 1 and factor 1, on each of two images."""
    weight, factor = SPACE.suggest(trial)
    value = (weight - 1) ** 2 + (factor - 1) ** 2
    trial.report(value, 1)
    study.keep_evidence(trial, Evidence(np.array([value, value]), np.array([0.0, 1.0])))
    return value


def search(line: Connection, place: str, trials: int) -> None:
    """Search, but end the first trial at the word after saying its number; say what was found."""
    meet(line)
    held = []

    def bowl(trial: Trial) -> float:
        value = bowl_value(trial)
        if not held:
            held.append(trial.number)
            meet(line, trial.number)
        return value

    found = study.open_study(study.StudyPlace(place, "tune-key", shared=True), seed=0)
    study.work_off(SharedTrials(found), SPACE, bowl, trials)
    line.send((found.best_params, study.trials_table(found, 1.5).to_csv()))


def record_runs(line: Connection, root: Path, seeds: int) -> None:
    """Record a run a seed, all of the same group."""
    meet(line)
    for seed in range(seeds):
        with grouped_run(root, "a1", GROUPS, f"seed {seed}", {"seed": seed}) as run:
            run.log_metrics({"accuracy": 0.5})


def run_stage(line: Connection, root: Path, stage: str) -> None:
    """Open the run of a stage when told, say its id, and end it at the word."""
    meet(line)
    with stage_run(root, stage, {}, [], root / "data" / stage) as run:
        meet(line, run.run_id)


def cot(
    line: Connection,
    folder: Path,
    messages: Path,
    arguments: Sequence[str],
    storage: str | None = None,
    holds: bool = False,
) -> None:
    """Call the command in a folder.

    Args:
        messages: what it prints.
        storage: of COT_STORAGE.
        holds: wait for the word before the second checkpoint replaces the first.
    """

    def hold(event: str, given: tuple[object, ...]) -> None:
        if event == "os.rename" and (path := Path(str(given[1]))).suffix == ".pt" and path.exists():
            meet(line)

    os.chdir(folder)
    os.environ.pop("COT_STORAGE", None)
    if storage:
        os.environ["COT_STORAGE"] = storage
    with messages.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    if holds:
        sys.addaudithook(hold)
    sys.argv = ["cot", *arguments]
    main()
