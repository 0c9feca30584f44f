"""Hold what relationships knew before training against what training gained from them."""

from pathlib import Path

import pandas as pd

from pipeline.artifacts import Store
from pipeline.claims.gain import gains, over_seeds, rank_correlations
from pipeline.claims.gain_figure import gain_against_knowledge
from pipeline.common.errors import UserError
from pipeline.common.formats import write_csv
from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.report.figures import save_figure
from pipeline.tracking.runs import stage_run


def run(params: Params) -> None:
    store = Store(project_root())
    section = params.gain_against_knowledge
    folder = store.folder("gain-against-knowledge")
    inputs = [cells_of(store.root.parent / name) for name in section.studies]
    with stage_run(
        store.root, "gain-against-knowledge", section.model_dump(), inputs, folder
    ) as run:
        points = gains(dict(zip(section.studies, map(pd.read_csv, inputs), strict=True)))
        means = over_seeds(points)
        correlations = rank_correlations(means)
        write_csv(folder / "points.csv", points)
        write_csv(folder / "means.csv", means)
        write_csv(folder / "correlations.csv", correlations)
        save_figure(gain_against_knowledge(means, correlations), folder / "gain.png")
        run.log_metrics({"points": len(points)})


def cells_of(study: Path) -> Path:
    """The cells in the folder of a study.

    Raises:
        UserError: they are not made yet.
    """
    path = Store(study).folder("fine-tune-cells") / "cells.csv"
    if not path.is_file():
        raise UserError(
            f"the study {study.name} has no cells yet; make them with `dvc repro "
            f"fine-tune-cells@{study.name}` in {study.parent}, or take it out of "
            "gain_against_knowledge.studies"
        )
    return path
