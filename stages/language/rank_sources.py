"""Rank masked language models for the prepared sentences, before any of them is fine-tuned."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from pipeline.common.errors import UserError
from pipeline.common.formats import write_csv
from pipeline.common.project import project_root
from pipeline.language.artifacts import TextStore
from pipeline.language.ranking import WordScores, sample_words, score_words
from pipeline.params import LanguageParams, write_values
from pipeline.report.figures import save_figure
from pipeline.report.ranking_figure import accuracy_against_cost
from pipeline.sources.ranking import (
    COMMON_COLUMNS,
    Candidate,
    best_of,
    named_candidates,
    rank,
    ranking_table,
)
from pipeline.sources.scoring import STAGE, Scoring, scored
from pipeline.training.compute import resolve_compute

SHORT_LIST = (
    "hf:bert-base-cased",
    "hf:distilbert-base-cased",
    "hf:roberta-base",
    "hf:answerdotai/ModernBERT-base",
)
SCORING_CODE = ("cotuning/*.py", "language/*.py", "sources/*.py", "training/inference.py")
COLUMNS = COMMON_COLUMNS | {
    "words_per_second": ("words/s", "{:.0f}"),
    "parameters": ("M", "{:.1f}"),
}


def run(params: LanguageParams, models: Sequence[str], listed: Path | None, write: bool) -> None:
    store, console = TextStore(project_root(), params.sample), Console()
    candidates = named_candidates(models, listed, (params.source_model.name, *SHORT_LIST))
    for candidate in candidates:
        require_language_model(candidate)
    scores = scored(store, candidates, scoring_of(store, params))
    ranking = rank(scores)
    folder = store.folder(STAGE)
    write_csv(folder / "ranking.csv", ranking)
    save_figure(accuracy_against_cost(ranking, "words"), folder / "ranking.png")
    console.print(ranking_table(ranking, COLUMNS))
    if write:
        path = store.root / "params.yaml"
        changes = write_values(path, {"source_model": {"name": best_of(ranking).name}})
        console.print("\n".join(changes) or f"{path} names it already", markup=False)


def require_language_model(candidate: Candidate) -> None:
    """UserError where it is not named as source_model.name of text is."""
    is_named = candidate.name.startswith("hf:") and candidate.name != "hf:"
    if not is_named or candidate.label != candidate.name:
        raise UserError(
            f"got {candidate.label}; name a masked language model as hf:<name or folder>, without "
            "weights: it brings its own"
        )


def scoring_of(store: TextStore, params: LanguageParams) -> Scoring[WordScores]:
    longest, batch_size = params.source_model.longest, params.extract_logits.batch_size

    def begin() -> Callable[[Candidate], WordScores]:
        compute = resolve_compute(params.compute.device, params.compute.precision)
        sample = sample_words(store.load_sentences())
        return lambda candidate: score_words(candidate, sample, longest, batch_size, compute)

    inputs = [
        store.require("prepare-data", "manifest.csv"),
        store.require("prepare-data", "sentences.jsonl"),
    ]
    steering = params.model_dump(mode="json", include={"compute": True}) | {"longest": longest}
    return Scoring(WordScores, inputs, steering, SCORING_CODE, begin)
