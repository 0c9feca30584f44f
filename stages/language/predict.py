"""Find the entities of a user's own sentences by a fine-tuned model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

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
from pipeline.language.artifacts import TextClasses, TextStore
from pipeline.language.batches import TokenSet
from pipeline.language.inference import predict_words
from pipeline.language.listing import Sentence
from pipeline.language.source import load_tokenizer
from pipeline.language.tag_schemes import OUTSIDE, types_of
from pipeline.language.tagger import load_tagger
from pipeline.language.tagging import entities, find_texts, read_text
from pipeline.language.tokens import tokenise
from pipeline.params import LanguageParams
from pipeline.training.compute import resolve_compute

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
    rows = list(found(params, store, method, sentences, top))
    summary = f"{len(rows)} entities in {len(sentences)} sentences, by {method}"
    tell_rows(rows, COLUMNS, summary, form, output)
    tell_unreadable(unreadable, len(paths), "files")


def found(
    params: LanguageParams,
    store: TextStore,
    method: str,
    sentences: Sequence[Sentence],
    top: int,
) -> Iterator[dict[str, Any]]:
    """A row an entity: path, line, text, class, probability (mean over its words), and top, the
    most probable types with theirs.
    """
    name = params.source_model.name
    classes: TextClasses = store.load_json(TextClasses, "prepare-data", "classes.json")
    compute = resolve_compute(params.compute.device, params.compute.precision)
    tokens = tokenise(sentences, classes.classes, load_tokenizer(name), params.source_model.longest)
    parts = TokenSet(tokens, torch.arange(len(tokens.sentences)), classes.pad)
    model = load_tagger(store, params, method, len(classes.classes))
    network = model.deploy().to(compute.device)
    with progress("predict", len(tokens.words)) as advance:
        logits = predict_words(network, parts, params.evaluate.batch_size, compute, advance)
    names = (OUTSIDE, *types_of(classes.classes))
    lengths = [len(sentence.tokens) for sentence in sentences]
    for entity in entities(parts, logits, classes.classes, lengths):
        sentence = sentences[entity.sentence]
        probabilities = entity.probabilities.tolist()
        yield {
            **{"path": sentence.file, "line": sentence.lines[0]},
            "text": " ".join(sentence.tokens[word] for word in entity.words),
            **{"class": entity.type, "probability": probabilities[names.index(entity.type)]},
            "top": ranked(names, probabilities, top),
        }
