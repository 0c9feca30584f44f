"""Run what a command asks for: a stage, in one process or several; errors as one line."""

import atexit
import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

OVER_PROCESSES = ("extract_logits", "fine_tune")


def run_stage(
    module: str, overrides: list[str] | None, overlay: Path | None, **options: Any
) -> None:
    """Load params.yaml with the overrides and call the run() of stages.<module>."""

    def call() -> None:
        from pipeline import params
        from pipeline.common.errors import UserError
        from pipeline.common.launch import is_launched, process_count, start_again
        from pipeline.common.project import project_root

        values = params.load_project(project_root() / "params.yaml", overrides or [], overlay)
        if "seed" in options:
            values = values.of_sample(options.pop("seed"))
        if options.get("method"):
            params.check_method(str(options["method"]))
        if module not in OVER_PROCESSES:
            if process_count() > 1:
                name = module.replace("_", "-")
                raise UserError(f"{name} runs in one process; start it without torchrun")
        elif values.compute.processes > 1 and not is_launched():
            start_again(values.compute.processes)
        page = f"{values.pages}.{module}"
        if importlib.util.find_spec(page) is None:
            raise UserError(
                f"{module.replace('_', '-')} is not made for a project of text, as this one is"
            )
        try:
            with uncollected():
                loaded = importlib.import_module(page)
        except ModuleNotFoundError as error:
            if page == f"stages.{module}":  # what images need is told where `cot` begins
                raise
            raise UserError(
                f"{error.name} is not installed; pip install '.[language]' brings what text needs"
            ) from None
        loaded.run(values, **options)

    guard(call)


@contextmanager
def uncollected() -> Iterator[None]:
    """Imports leave a million objects, among which the garbage collector would search in vain, time
    and again: during them, whenever it runs afterwards, and at the end of the process.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@atexit.register
def collect_triton() -> None:
    """Triton lists on standard error what of it was not collected."""
    if "triton" in sys.modules:
        gc.unfreeze()


def explained(error: Exception) -> str:
    """What a line says of an error that the user can mend: of a disk that is full, a file that may
    not be read, a folder that is gone.
    """
    from pipeline.common.errors import reason_of

    if not isinstance(error, OSError):
        return str(error).replace("\n", " ")  # a file may be called so
    place = f"{error.filename} cannot be used" if error.filename else "the system refused"
    return f"{place} ({reason_of(error)}); make room or access, then run it again to go on"


def guard(call: Callable[[], None]) -> None:
    """Turn errors meant for the user into one line, and signals into an orderly end."""
    from pipeline.common.errors import UserError
    from pipeline.common.launch import is_launched, show_messages, tells_why

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
    show_messages()
    try:
        call()
    except BrokenPipeError:  # of `cot predict | head`, which Typer ends quietly
        raise
    except (UserError, OSError) as error:
        if tells_why():
            typer.secho(f"Error: {explained(error)}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        if tells_why():
            typer.secho("Interrupted; run it again to go on.", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
