"""The `cot` command: the only door to the stages, which it imports when they are called."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from stages.running import guard, run_stage

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
ChosenMethod = Annotated[
    str | None,
    typer.Option(
        help="One of the fine-tuned; without it the one that tune recommends.", show_default=False
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="One of fine_tune.seeds; without it the first.", show_default=False),
]
CORES = os.cpu_count() or 1
CellWorkers = Annotated[
    int, typer.Option(min=1, help="Processes that run cells; the numbers do not depend on it.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes that run trials; without it as many as cores, on a GPU one.",
        show_default=False,
    ),
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

    guard(write)


@app.command("rank-sources")
def rank_sources(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="NAME or NAME=WEIGHTS, as source_model of params.yaml takes them.",
            show_default=False,
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="A model a line.", show_default=False),
    ] = None,
    write: Annotated[bool, typer.Option(help="Write the best one into params.yaml.")] = False,
    override: Override = None,
    overlay: Overlay = None,
) -> None:
    """Rank source models for the prepared images, by one pass of each."""
    run_stage("rank_sources", override, overlay, models=models or (), listed=listed, write=write)


@app.command()
def predict(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|DIR...", show_default=False, help="To classify.")
    ],
    method: ChosenMethod = None,
    seed: Seed = None,
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="json: a line an image.")
    ] = "table",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="To write to.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes that are listed of each image.")] = 5,
) -> None:
    """Classify images by a fine-tuned model, with calibrated probabilities."""
    options = {"images": images, "method": method, "form": form, "output": output, "top": top}
    run_stage("predict", None, None, seed=seed, **options)


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

    guard(show)


def main() -> None:
    """Entry point of the `cot` command."""
    app()
