"""Hold what relationships knew before training against what training gained from them."""

import pandas as pd

from pipeline.artifacts import Store, write_csv
from pipeline.claims.gain import gains, over_seeds, rank_correlations
from pipeline.claims.gain_figure import gain_against_knowledge
from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.report.figures import save_figure
from pipeline.tracking.runs import stage_run


def run(params: Params) -> None:
    store = Store(project_root())
    section = params.gain_against_knowledge
    folder = store.folder("gain-against-knowledge")
    studies = {name: Store(store.root.parent / name) for name in section.studies}
    inputs = [study.require("fine-tune-cells", "cells.csv") for study in studies.values()]
    with stage_run(
        store.root, "gain-against-knowledge", section.model_dump(), inputs, folder
    ) as run:
        points = gains(dict(zip(studies, map(pd.read_csv, inputs), strict=True)))
        means = over_seeds(points)
        correlations = rank_correlations(means)
        write_csv(folder / "points.csv", points)
        write_csv(folder / "means.csv", means)
        write_csv(folder / "correlations.csv", correlations)
        save_figure(gain_against_knowledge(means, correlations), folder / "gain.png")
        run.log_metrics({"points": len(points)})
