"""Find the entities of a user's own sentences by a fine-tuned model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.progress import progress
from pipeline.common.project import project_root
from pipeline.deployment.found import (
    Form,
    named,
    others,
    probability,
    ranked,
    tell_rows,
    tell_unreadable,
)
from pipeline.deployment.target_model import trained_method
from pipeline.language.artifacts import TextStore
from pipeline.language.listing import Sentence
from pipeline.language.spans import Entity
from pipeline.language.tagging import find_texts, read_text, ready_tagger
from pipeline.params import LanguageParams

COLUMNS = {
    "Entity": lambda row: row["text"],
    "Type": lambda row: row["class"],
    "Probability": probability,
    "Then": others,
    "Where": lambda row: f"{row['path']}:{row['line']}",
}


def run(
    params: LanguageParams,
    files: Sequence[Path],
    method: str | None,
    form: Form,
    output: Path | None,
    top: int,
) -> None:
    paths = find_texts(files)
    store = TextStore(project_root(), params.sample)
    method = trained_method(store, params.fine_tune.methods, method)
    sentences: list[Sentence] = []
    unreadable: dict[Path, str] = {}
    for path in paths:
        try:
            sentences += read_text(path)
        except UserError as error:
            unreadable[path] = str(error)
    if not sentences:
        raise UserError(f"there is no sentence to read{': ' * bool(unreadable)}{named(unreadable)}")
    tagger = ready_tagger(store, params, method)
    with progress("predict", sum(len(sentence.tokens) for sentence in sentences)) as advance:
        found = tagger.entities(sentences, advance)
    rows = [row_of(entity, sentences[entity.sentence], tagger.names, top) for entity in found]
    summary = f"{len(rows)} entities in {len(sentences)} sentences, by {method}"
    tell_rows(rows, COLUMNS, summary, form, output)
    tell_unreadable(unreadable, len(paths), "files")


def row_of(entity: Entity, sentence: Sentence, names: Sequence[str], top: int) -> dict[str, Any]:
    """Path, line, text, class, probability (mean over its words), and top, the most probable types
    with theirs.
    """
    return {
        **{"path": sentence.file, "line": sentence.lines[0]},
        "text": entity.text(sentence),
        **{"class": entity.type, "probability": entity.probability},
        "top": ranked(names, entity.probabilities.tolist(), top),
    }
