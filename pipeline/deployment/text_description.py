"""What an exported model of text is and where it comes from, as the artifacts tell it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import Store
from pipeline.common.formats import write_json
from pipeline.deployment.description import FILE, code_state, runs_behind, shared_name
from pipeline.params import LanguageParams


@dataclass(frozen=True)
class TextDescription:
    """What stands in model.json beside an exported model of text.

    Attributes:
        tags: in label order.
        types: of entities, in the order of their tags.
        method, seed: that it was fine-tuned by, and the one of fine_tune.seeds.
        source_model: its name as in params.yaml.
        longest: sub-words that enter at once.
        metrics: on the test sentences, with intervals, as in metrics.json; empty where it was not
            judged.
        git: commit and whether tracked files differed, at the export.
        runs: ids of the MLflow runs behind it, by stage.
    """

    tags: Sequence[str]
    types: Sequence[str]
    method: str
    seed: int
    source_model: str
    longest: int
    metrics: Mapping[str, Any]
    git: Mapping[str, str]
    runs: Mapping[str, str]

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, asdict(self))


def describe_text(
    store: Store, params: LanguageParams, method: str, tags: Sequence[str], types: Sequence[str]
) -> TextDescription:
    """Of what a method trained."""
    named = ("evaluate", method, "metrics.json")
    return TextDescription(
        *(tags, types, method),
        seed=params.sample,
        source_model=shared_name(params.source_model.name),
        longest=params.source_model.longest,
        metrics=store.load_json(dict[str, Any], *named) if store.path(*named).exists() else {},
        git=code_state(store.root),
        runs=runs_behind(store, method),
    )
