"""Hold what relationships knew before training against what training gained from them."""

from pathlib import Path

from pipeline.artifacts import Store
from pipeline.artifacts.tables import CELLS
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
    studies = {name: Store(store.root.parent / name) for name in section.studies}
    inputs = [cells_of(study) for study in studies.values()]
    with stage_run(
        store.root, "gain-against-knowledge", section.model_dump(), inputs, folder
    ) as run:
        cells = {
            name: study.load_table(CELLS, "fine-tune-cells", "cells.csv")
            for name, study in studies.items()
        }
        points = gains(cells)
        means = over_seeds(points)
        correlations = rank_correlations(means)
        write_csv(folder / "points.csv", points)
        write_csv(folder / "means.csv", means)
        write_csv(folder / "correlations.csv", correlations)
        save_figure(gain_against_knowledge(means, correlations), folder / "gain.png")
        run.log_metrics({"points": len(points)})


def cells_of(study: Store) -> Path:
    """The cells of a study.

    Raises:
        UserError: they are not made yet.
    """
    path = study.path("fine-tune-cells", "cells.csv")
    if not path.is_file():
        raise UserError(
            f"the study {study.root.name} has no cells yet; make them with `dvc repro "
            f"fine-tune-cells@{study.root.name}` in {study.root.parent}, or take it out of "
            "gain_against_knowledge.studies"
        )
    return path
