"""Options that several commands have."""

import os
from pathlib import Path
from typing import Annotated

import typer

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
