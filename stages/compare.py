"""Compare two runs: params that differ, metrics, and the images that both were judged on."""

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

from pipeline.common.project import project_root
from pipeline.params import Params
from pipeline.report.markdown import points
from pipeline.report.paired import paired_difference
from pipeline.report.text_answer import p_value
from pipeline.tracking.comparison import predictions_of, show_runs

IMAGES = "input.data/prepare-data/images.npy"


def run(params: Params, first: str, second: str) -> None:
    console = Console()
    client, runs = show_runs(project_root(), (first, second), console)
    console.print(same_images(client, runs, params), markup=False, highlight=False, soft_wrap=True)


def same_images(client: MlflowClient, runs: list[Run], params: Params) -> str:
    """What the images say that both were judged on, in a sentence."""
    if len({run.data.tags.get(IMAGES) for run in runs}) > 1:
        return "No paired test: they were judged on other images."
    first, second = (predictions_of(client, run) for run in runs)
    if first is None or second is None:
        return "No paired test: only runs of evaluate have predictions."
    try:
        found = paired_difference(
            [first], [second], params.report.bootstrap_resamples, params.sample_seed
        )
    except ValueError:
        return "No paired test: they were judged on other images."
    word = "beyond the noise" if found.exceeds_noise else "within the noise"
    return (
        f"On the same {found.images:,} images the second is {points(found.difference)} points of "
        f"accuracy to the first (95% interval {points(found.low)} to {points(found.high)}, "
        f"McNemar {p_value(found)}): {word}."
    )
