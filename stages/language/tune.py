"""Pass the source weight and the temperature factor on, so that later stages read one place."""

from pipeline.artifacts import Best, Store
from pipeline.common.project import project_root
from pipeline.params import LanguageParams
from pipeline.tracking.runs import stage_run


def run(params: LanguageParams, workers: int | None = None, storage: str | None = None) -> None:
    """The options are of a search, which there is none of for text."""
    store = Store(project_root(), params.sample)
    section = params.tune
    with stage_run(store.root, "tune", section.model_dump(), [], store.folder("tune")) as run:
        store.save_best(Best(section.source_weight, section.temperature_factor))
        run.log_metrics({"source_weight": section.source_weight})
