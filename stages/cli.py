"""The `cot` command: the only door to the stages, which it imports when they are called."""

import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Fine-tune a pre-trained classifier with Co-Tuning, stage by stage. "
    "`dvc repro` runs all stages in order; `mlflow ui` compares their runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
stage = typer.Typer(help="Run one stage by hand.", no_args_is_help=True)
app.add_typer(stage, name="stage")

Override = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.NAME=VALUE",
        help="Override a value of params.yaml, as in fine_tune.epochs=3. May be repeated.",
        show_default=False,
    ),
]
Overlay = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A file of values that win over params.yaml, as experiments/cub-200-2011.yaml.",
        show_default=False,
    ),
]
Method = Annotated[
    str,
    typer.Option(
        help="vanilla, co-tuning, a peer such as l2-sp, or several joined as in co-tuning+bss.",
        show_default=False,
    ),
]
CellWorkers = Annotated[
    int, typer.Option(min=1, help="Processes that run cells; the numbers do not depend on it.")
]
CORES = os.cpu_count() or 1
OVER_PROCESSES = ("extract_logits", "fine_tune")
Workers = Annotated[
    int, typer.Option(min=1, help="Processes that run trials; more than 1 is not repeatable.")
]
SharedStorage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="PLACE",
        envvar="COT_STORAGE",
        help="Share the work with other machines that name the same place: the URL of a database "
        "(postgresql://user:password@host/name), or a journal file on a file system of all.",
        show_default=False,
    ),
]


@stage.command("prepare-data")
def prepare_data(override: Override = None, overlay: Overlay = None) -> None:
    """Decode and resize every image once; split into training, validation and test."""
    _run_stage("prepare_data", override, overlay)


@stage.command("extract-logits")
def extract_logits(override: Override = None, overlay: Overlay = None) -> None:
    """Pass the images through the source model and keep its logits."""
    _run_stage("extract_logits", override, overlay)


@stage.command()
def calibrate(override: Override = None, overlay: Overlay = None) -> None:
    """Find the temperature of the source model."""
    _run_stage("calibrate", override, overlay)


@stage.command()
def tune(
    override: Override = None,
    overlay: Overlay = None,
    workers: Workers = 1,
    storage: SharedStorage = None,
) -> None:
    """Search for the source weight and the temperature on the validation split."""
    _run_stage("tune", override, overlay, workers=workers, storage=storage)


@stage.command("fit-relationship")
def fit_relationship(override: Override = None, overlay: Overlay = None) -> None:
    """Learn p(source category | target class)."""
    _run_stage("fit_relationship", override, overlay)


@stage.command("fine-tune")
def fine_tune(method: Method, override: Override = None, overlay: Overlay = None) -> None:
    """Fine-tune the source model on the target data."""
    _run_stage("fine_tune", override, overlay, method=method)


@stage.command()
def evaluate(method: Method, override: Override = None, overlay: Overlay = None) -> None:
    """Judge a fine-tuned model on the test split."""
    _run_stage("evaluate", override, overlay, method=method)


@stage.command()
def report(override: Override = None, overlay: Overlay = None) -> None:
    """Compare the methods: did Co-Tuning help, by how much, how sure."""
    _run_stage("report", override, overlay)


@stage.command("tune-methods")
def tune_methods(
    override: Override = None,
    overlay: Overlay = None,
    workers: CellWorkers = CORES,
    storage: SharedStorage = None,
) -> None:
    """Of the claims table: choose each method's settings, all with the same budget."""
    _run_stage("tune_methods", override, overlay, workers=workers, storage=storage)


@stage.command("fine-tune-cells")
def fine_tune_cells(
    override: Override = None,
    overlay: Overlay = None,
    workers: CellWorkers = CORES,
    storage: SharedStorage = None,
) -> None:
    """Of the claims table: train and judge each rate, seed, method and variant."""
    _run_stage("fine_tune_cells", override, overlay, workers=workers, storage=storage)


@stage.command("time-steps")
def time_steps(override: Override = None, overlay: Overlay = None) -> None:
    """Of the claims table: time each method's step, in turns."""
    _run_stage("time_steps", override, overlay)


@stage.command()
def claims(override: Override = None, overlay: Overlay = None) -> None:
    """Make the claims table of the finished cells."""
    _run_stage("claims", override, overlay)


@app.command()
def overlay(
    file: Annotated[Path, typer.Argument(help="As experiments/cub-200-2011.yaml.")],
) -> None:
    """Write the values of a file into params.yaml, for `dvc repro` and `dvc exp run`."""

    def write() -> None:
        from pipeline.common.project import project_root
        from pipeline.params import write_overlaid

        path = project_root() / "params.yaml"
        changes = write_overlaid(path, file)
        typer.echo("\n".join(changes) or f"{path} has these values already")

    _guard(write)


@app.command()
def runs(artifact: Annotated[Path, typer.Argument(help="A file below data/.")]) -> None:
    """List the MLflow runs that an artifact comes from and went into."""

    def show() -> None:
        from pipeline.common.errors import UserError
        from pipeline.common.project import project_root
        from pipeline.tracking.lineage import lineage

        if not artifact.is_file():
            raise UserError(f"{artifact} does not exist; name a file below data/")

        for run in lineage(project_root(), artifact):
            typer.echo(f"{run.info.run_id}  {run.info.status:<8}  {run.info.run_name}")

    _guard(show)


def main() -> None:
    """Entry point of the `cot` command."""
    app()


def _run_stage(
    module: str, overrides: list[str] | None, overlay: Path | None, **options: object
) -> None:
    def call() -> None:
        from pipeline import params
        from pipeline.common.errors import UserError
        from pipeline.common.launch import is_launched, process_count, start_again
        from pipeline.common.project import project_root

        values = params.load(project_root() / "params.yaml", overrides or [], overlay)
        if "method" in options:
            params.check_method(str(options["method"]))
        if module not in OVER_PROCESSES:
            if process_count() > 1:
                name = module.replace("_", "-")
                raise UserError(f"{name} runs in one process; start it without torchrun")
        elif values.compute.processes > 1 and not is_launched():
            start_again(values.compute.processes)
        importlib.import_module(f"stages.{module}").run(values, **options)

    _guard(call)


def _guard(call: Callable[[], None]) -> None:
    """Turn errors meant for the user into one line, and signals into an orderly end."""
    from pipeline.common.errors import UserError
    from pipeline.common.launch import is_launched, speaks, tells_why

    def terminate(number: int, frame: object) -> None:
        sys.exit(128 + number)

    def interrupt(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # torchrun sends on what the terminal sent to all
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)
    if is_launched():
        signal.signal(signal.SIGINT, interrupt)
    # Threads that spin while they wait make training several times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for package in ("pipeline", "stages"):
        logging.getLogger(package).setLevel(logging.INFO if speaks() else logging.ERROR)
    try:
        call()
    except UserError as error:
        if tells_why():
            typer.secho(f"Error: {error}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        if tells_why():
            typer.secho("Interrupted; run it again to go on.", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
