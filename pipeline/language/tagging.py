"""Entities of a user's own sentences."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from pipeline.common.errors import UserError, reason_of
from pipeline.common.files import find_files
from pipeline.language.artifacts import TextClasses, TextStore
from pipeline.language.batches import TokenSet
from pipeline.language.inference import predict_words
from pipeline.language.listing import Sentence
from pipeline.language.model import TokenModel
from pipeline.language.source import load_tokenizer
from pipeline.language.spans import Entity, Reading, sentences_of
from pipeline.language.tag_schemes import OUTSIDE, types_of
from pipeline.language.tagger import load_tagger
from pipeline.params import LanguageParams
from pipeline.training.compute import Compute, resolve_compute

SUFFIX = ".txt"


def find_texts(places: Sequence[Path]) -> list[Path]:
    """The files that are named, and those with .txt below the folders that are named, sorted.

    Raises:
        UserError: a place does not exist, or there is no such file.
    """
    found = find_files(
        places, lambda path: path.name.endswith(SUFFIX), "files of text, or folders of them"
    )
    if not found:
        raise UserError(f"there is no {SUFFIX} file in {', '.join(map(str, places))}")
    return found


def read_text(path: Path) -> list[Sentence]:
    """The sentences of a file: one a line, its words between spaces; empty lines have none.

    Raises:
        UserError: the file cannot be read, or is not in UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(reason_of(error)) from None
    except UnicodeDecodeError:
        raise UserError("not in UTF-8") from None
    return sentences_of(lines, os.fspath(path))


@dataclass(frozen=True)
class Tagger:
    """A fine-tuned network with all that it needs to find entities.

    Attributes:
        network: TokenInputs to target logits [word, tag], on the device of compute.
        reading: how it was taught to read.
        batch_size: in parts of sentences.
    """

    network: nn.Module
    reading: Reading
    batch_size: int
    compute: Compute

    @property
    def names(self) -> list[str]:
        """Outside, then the types, in the order of an entity's probabilities."""
        return [OUTSIDE, *types_of(self.reading.tags)]

    def entities(
        self, sentences: Sequence[Sentence], on_batch: Callable[[int], None] = lambda words: None
    ) -> list[Entity]:
        """Of all sentences, in their order."""

        def logits_of(tokens: TokenSet) -> Tensor:
            return predict_words(self.network, tokens, self.batch_size, self.compute, on_batch)

        return self.reading.entities(sentences, logits_of)


def ready_tagger(store: TextStore, params: LanguageParams, method: str) -> Tagger:
    """What a method trained, ready to find entities.

    Raises:
        UserError: as load_tagger.
    """
    classes: TextClasses = store.load_json(TextClasses, "prepare-data", "classes.json")
    model = load_tagger(store, params, method, len(classes.classes))
    return tagger_of(model, classes.classes, classes.pad, params)


def tagger_of(model: TokenModel, tags: Sequence[str], pad: int, params: LanguageParams) -> Tagger:
    """The same of what load_tagger gave.

    Args:
        tags: in label order.
        pad: the sub-word that fills up.
    """
    compute = resolve_compute(params.compute.device, params.compute.precision)
    tokenizer = load_tokenizer(params.source_model.name)
    return Tagger(
        network=model.deploy().to(compute.device),
        reading=Reading(tokenizer, params.source_model.longest, tags, pad),
        batch_size=params.evaluate.batch_size,
        compute=compute,
    )
