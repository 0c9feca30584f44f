"""Artifacts that text has of its own, beside those of every modality."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as checked
from safetensors.torch import load_file
from torch import Tensor

from pipeline.artifacts import Store
from pipeline.artifacts.tables import COUNT, TEXT, Columns
from pipeline.common.files import write_aside
from pipeline.common.formats import write_csv, write_json
from pipeline.common.tensors import write_tensors
from pipeline.language.batches import TokenSet
from pipeline.language.extraction import EntityStates, MaskedWords
from pipeline.language.listing import Sentence
from pipeline.language.tag_schemes import types_of
from pipeline.language.tokens import TokenStore

MANIFEST: Columns = {"row": COUNT, "split": TEXT}
STATES = ("extract-logits", "states.safetensors")


@dataclass(frozen=True)
class PreparedText:
    """What prepare-data gives.

    Attributes:
        manifest: columns row (number of the sentence), split.
        tags: in label order.
        sentences: all of the source, with their tags in IOB2.
        store: of all sentences.
        pad, mask: the sub-words that fill up and that mask.
    """

    manifest: pd.DataFrame
    tags: list[str]
    sentences: list[Sentence]
    store: TokenStore
    pad: int
    mask: int

    @property
    def types(self) -> list[str]:
        return types_of(self.tags)

    def split(self, name: str) -> TokenSet:
        """The parts of the sentences of one split."""
        return self.tokens_of(torch.from_numpy(self.rows(name)))

    def tokens_of(self, rows: Tensor) -> TokenSet:
        """The parts of the sentences of these numbers, in their rising order."""
        return TokenSet(self.store, self.store.parts_of(rows), self.pad)

    def rows(self, name: str) -> np.ndarray:
        """Numbers of the sentences of one split, in rising order."""
        return rows_of(self.manifest, name)

    def sentences_by_number(self, name: str) -> dict[int, tuple[str, ...]]:
        """The tokens of the sentences of one split, in the order of their numbers."""
        return {int(row): self.sentences[row].tokens for row in self.rows(name)}

    def lengths(self, name: str) -> list[int]:
        """Of the sentences of one split, in words."""
        return [len(tokens) for tokens in self.sentences_by_number(name).values()]


def rows_of(manifest: pd.DataFrame, split: str) -> np.ndarray:
    """Numbers of the sentences of one split, in rising order."""
    rows = manifest.loc[manifest["split"] == split, "row"]
    return np.sort(rows.to_numpy(np.int64, copy=True))


@checked(frozen=True)
class TextClasses:
    """Tags in label order, and the sub-words that fill up and that hide a word."""

    classes: Annotated[list[str], Field(min_length=2)]
    pad: Annotated[int, Field(ge=0)]
    mask: Annotated[int, Field(ge=0)]


class TextStore(Store):
    """The artifacts of a project of text; see Store."""

    files_of_a_sample = Store.files_of_a_sample | {STATES: "states/seed-{}.safetensors"}

    def load_classes(self) -> list[str]:
        """The tags, in label order."""
        found: TextClasses = self.load_json(TextClasses, "prepare-data", "classes.json")
        return found.classes

    def related_classes(self) -> int:
        """The types of entities: a relationship has a row of each, whatever its tags are."""
        return len(types_of(self.load_classes()))

    def save_sentences(
        self,
        sentences: Sequence[Sentence],
        tags: Sequence[str],
        tokens: TokenStore,
        marks: Mapping[str, int],
    ) -> None:
        """Texts and sub-words of all, the tags in label order, and the sub-words pad and mask."""
        with (
            write_aside(self.path("prepare-data", "sentences.jsonl")) as aside,
            aside.open("w", encoding="utf-8") as file,
        ):
            for one in sentences:
                file.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
        tokens.save(self.path("prepare-data", "tokens.safetensors"))
        write_json(self.path("prepare-data", "classes.json"), {"classes": list(tags), **marks})

    def save_draw(self, manifest: pd.DataFrame) -> None:
        write_csv(self.path("prepare-data", "manifest.csv"), manifest)

    def load_manifest(self) -> pd.DataFrame:
        """Columns row and split."""
        return self.load_table(MANIFEST, "prepare-data", "manifest.csv")

    def load_sentences(self) -> PreparedText:
        names: TextClasses = self.load_json(TextClasses, "prepare-data", "classes.json")
        with self.whole("prepare-data", "sentences.jsonl") as path:
            text = path.read_text(encoding="utf-8")
            sentences = [Sentence.from_json(json.loads(line)) for line in text.split("\n") if line]
        with self.whole("prepare-data", "tokens.safetensors") as path:
            tokens = TokenStore.load(path)
        return PreparedText(
            self.load_manifest(),
            names.classes,
            sentences,
            tokens,
            names.pad,
            names.mask,
        )

    def save_states(self, states: Mapping[str, EntityStates], masked: MaskedWords) -> None:
        tensors = {
            f"{split}.{name}": part
            for split, of in states.items()
            for name, part in vars(of).items()
        }
        tensors |= {f"masked.{name}": part for name, part in vars(masked).items()}
        write_tensors(self.path(*STATES), tensors)

    def load_states(self) -> tuple[dict[str, EntityStates], MaskedWords]:
        with self.whole(*STATES) as path:
            tensors = load_file(path)
            names = EntityStates.__annotations__
            states = {
                split: EntityStates(*(tensors[f"{split}.{name}"] for name in names))
                for split in ("train", "validation")
            }
            return states, MaskedWords(tensors["masked.states"], tensors["masked.sub_words"])
