"""`cot stage`: each stage by hand."""

import typer

from stages.options import (
    CORES,
    CellWorkers,
    Method,
    Overlay,
    Override,
    Seed,
    SharedStorage,
    Workers,
)
from stages.running import run_stage

stage = typer.Typer(help="Run one stage by hand.", no_args_is_help=True)


@stage.command("prepare-data")
def prepare_data(override: Override = None, overlay: Overlay = None) -> None:
    """Decode and resize every image once; split into training, validation and test."""
    run_stage("prepare_data", override, overlay)


@stage.command("extract-logits")
def extract_logits(override: Override = None, overlay: Overlay = None) -> None:
    """Pass the images through the source model and keep its logits."""
    run_stage("extract_logits", override, overlay)


@stage.command()
def calibrate(seed: Seed = None, override: Override = None, overlay: Overlay = None) -> None:
    """Find the temperature of the source model."""
    run_stage("calibrate", override, overlay, seed=seed)


@stage.command()
def tune(
    override: Override = None,
    overlay: Overlay = None,
    workers: Workers = None,
    storage: SharedStorage = None,
) -> None:
    """Search for the source weight and the temperature, on folds; is vanilla better?"""
    run_stage("tune", override, overlay, workers=workers, storage=storage)


@stage.command("fit-relationship")
def fit_relationship(seed: Seed = None, override: Override = None, overlay: Overlay = None) -> None:
    """Learn p(source category | target class)."""
    run_stage("fit_relationship", override, overlay, seed=seed)


@stage.command("fine-tune")
def fine_tune(
    method: Method, seed: Seed = None, override: Override = None, overlay: Overlay = None
) -> None:
    """Fine-tune the source model on the target data."""
    run_stage("fine_tune", override, overlay, method=method, seed=seed)


@stage.command()
def evaluate(
    method: Method, seed: Seed = None, override: Override = None, overlay: Overlay = None
) -> None:
    """Judge a fine-tuned model on the test split."""
    run_stage("evaluate", override, overlay, method=method, seed=seed)


@stage.command()
def report(override: Override = None, overlay: Overlay = None) -> None:
    """Compare the methods: did Co-Tuning help, by how much, how sure."""
    run_stage("report", override, overlay)


@stage.command("tune-methods")
def tune_methods(
    override: Override = None,
    overlay: Overlay = None,
    workers: CellWorkers = CORES,
    storage: SharedStorage = None,
) -> None:
    """Of the claims table: choose each method's settings, all with the same budget."""
    run_stage("tune_methods", override, overlay, workers=workers, storage=storage)


@stage.command("fine-tune-cells")
def fine_tune_cells(
    override: Override = None,
    overlay: Overlay = None,
    workers: CellWorkers = CORES,
    storage: SharedStorage = None,
) -> None:
    """Of the claims table: train and judge each rate, seed, method and variant."""
    run_stage("fine_tune_cells", override, overlay, workers=workers, storage=storage)


@stage.command("time-steps")
def time_steps(override: Override = None, overlay: Overlay = None) -> None:
    """Of the claims table: time each method's step, in turns."""
    run_stage("time_steps", override, overlay)


@stage.command("gain-against-knowledge")
def gain_against_knowledge(override: Override = None, overlay: Overlay = None) -> None:
    """Hold what relationships knew against what training gained from them, over studies."""
    run_stage("gain_against_knowledge", override, overlay)


@stage.command()
def claims(override: Override = None, overlay: Overlay = None) -> None:
    """Make the claims table of the finished cells."""
    run_stage("claims", override, overlay)
