"""Compare two runs of text: params, metrics, and the sentences that both were judged on."""

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

from pipeline.common.project import project_root
from pipeline.language.entities import count_entities, f1_difference
from pipeline.language.predictions import tags_by_sentence
from pipeline.language.tag_schemes import type_of
from pipeline.params import LanguageParams
from pipeline.report.markdown import points
from pipeline.tracking.comparison import predictions_of, show_runs


def run(params: LanguageParams, first: str, second: str) -> None:
    console = Console()
    client, runs = show_runs(project_root(), (first, second), console)
    console.print(
        same_sentences(client, runs, params), markup=False, highlight=False, soft_wrap=True
    )


def same_sentences(client: MlflowClient, runs: list[Run], params: LanguageParams) -> str:
    """What the sentences say that both were judged on, in a sentence."""
    first, second = (predictions_of(client, run) for run in runs)
    if first is None or second is None:
        return "No paired test: only runs of evaluate have predictions."
    types = sorted({type_of(tag) for table in (first, second) for tag in table["tag"]} - {""})
    judged = ["sentence", "word", "tag"]  # in whose order evaluate writes them
    if not first[judged].equals(second[judged]):
        return "No paired test: they were judged on other sentences."
    counts = [count_entities(*tags_by_sentence(table), types) for table in (first, second)]
    found = f1_difference(
        [counts[0]], [counts[1]], params.report.bootstrap_resamples, params.sample_seed
    )
    word = "beyond the noise" if found.exceeds_noise else "within the noise"
    return (
        f"On the same {found.sentences:,} sentences the second is {points(found.difference)} "
        f"points of F1 to the first (95% interval {points(found.low)} to {points(found.high)}): "
        f"{word}."
    )
