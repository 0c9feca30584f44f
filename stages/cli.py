"""The `cot` command: the only door to the stages, which it imports when they are called."""

import importlib
from pathlib import Path
from typing import Annotated, Literal

import typer

from stages.options import ChosenMethod, Overlay, Override, Seed
from stages.running import guard, run_stage
from stages.stage_commands import stage

app = typer.Typer(
    help="Fine-tune a pre-trained classifier with Co-Tuning, stage by stage. "
    "`dvc repro` runs all stages in order; `mlflow ui` compares their runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(stage, name="stage")


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


@app.command()
def init(
    images: Annotated[
        Path,
        typer.Argument(
            help="A folder a class, or train/, val/, test/ with such; or text: a file of tokens "
            "and tags, or a folder with train, valid and test."
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--as",
            metavar="FOLDER",
            help="Make a project of its own there, as projects/photos, with the same stages.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show all, write nothing.")] = False,
) -> None:
    """Look at a folder of images, or at text, and write the params that fit it, saying why."""

    def start() -> None:
        from pipeline.language.readers.recognition import is_text

        page = "stages.language.init" if is_text(images) else "stages.init"
        importlib.import_module(page).run(images, folder, dry_run)

    guard(start)


@app.command()
def doctor() -> None:
    """Check whether all that the stages need is in order."""

    def check() -> None:
        from stages.doctor import run

        if not run():
            raise typer.Exit(1)

    guard(check)


@app.command("rank-sources")
def rank_sources(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="NAME or NAME=WEIGHTS, as source_model of params.yaml takes them; "
            "of text hf:NAME.",
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
    """Rank source models for the prepared images or sentences, by one pass of each."""
    run_stage("rank_sources", override, overlay, models=models or (), listed=listed, write=write)


@app.command()
def predict(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|DIR...",
            show_default=False,
            help="Images; for a project of text files with a sentence a line.",
        ),
    ],
    method: ChosenMethod = None,
    seed: Seed = None,
    form: Annotated[
        Literal["table", "csv", "json"],
        typer.Option("--format", help="json: a line an image, or an entity."),
    ] = "table",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="To write to.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes that are listed of each.")] = 5,
) -> None:
    """Classify images by a fine-tuned model, with calibrated probabilities; or find entities."""
    options = {"files": files, "method": method, "form": form, "output": output, "top": top}
    run_stage("predict", None, None, seed=seed, **options)


@app.command()
def serve(
    method: ChosenMethod = None,
    seed: Seed = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Serve a fine-tuned model: a page for images, or for text, and a JSON endpoint."""
    run_stage("serve", None, None, seed=seed, method=method, host=host, port=port)


@app.command()
def export(
    form: Annotated[
        Literal["onnx", "weights", "mlflow", "hugging-face", "torch-export"],
        typer.Argument(
            metavar="FORM",
            show_default=False,
            help="onnx; weights, a state dict of timm's or torchvision's own model; mlflow; "
            "hugging-face; or torch-export. Of text hugging-face and mlflow.",
        ),
    ],
    method: ChosenMethod = None,
    seed: Seed = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Without it exports/FORM.", show_default=False),
    ] = None,
) -> None:
    """Write a fine-tuned model for other programs, checked against PyTorch."""
    run_stage("export", None, None, seed=seed, form=form, method=method, output=output)


@app.command()
def register(
    name: Annotated[str, typer.Argument(show_default=False, help="Of the registered model.")],
    method: ChosenMethod = None,
    seed: Seed = None,
    alias: Annotated[
        str | None, typer.Option(help="Of this version, as champion.", show_default=False)
    ] = None,
) -> None:
    """Register a fine-tuned model with MLflow, with what is behind it."""
    run_stage("register", None, None, seed=seed, name=name, method=method, alias=alias)


@app.command()
def lineage(artifact: Annotated[Path, typer.Argument(help="A file below data/.")]) -> None:
    """Show where a file comes from, back to the data: commands, commits, runs."""

    def show() -> None:
        from stages.lineage import run

        run(artifact)

    guard(show)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", show_default=False, help="Of MLflow.")],
    second: Annotated[str, typer.Argument(metavar="RUN", show_default=False)],
) -> None:
    """Compare two runs, by id, its beginning, or name: params, metrics, the same images."""
    run_stage("compare", None, None, first=first, second=second)


def main() -> None:
    """Entry point of the `cot` command."""
    app()
