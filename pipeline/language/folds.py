"""Folds of the training and validation sentences."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from pipeline.language.artifacts import PreparedText
from pipeline.language.extraction import EntityStates
from pipeline.language.inference import predict_words
from pipeline.language.learning import (
    SPLITS,
    direct_word_relationship,
    learn_word_relationship,
)
from pipeline.language.source import LanguageSource
from pipeline.language.tag_schemes import type_of
from pipeline.language.teaching import compose_text_method
from pipeline.language.training_data import VALIDATION_BATCH, TokenData
from pipeline.params import LanguageParams
from pipeline.params.methods import BASELINE, CO_TUNING
from pipeline.training.compute import Compute
from pipeline.training.fit import fit
from pipeline.training.schedule import samples_passed
from pipeline.tuning.folds import Fold, FoldTrainer, repeated_folds


@dataclass(frozen=True)
class SentenceFoldTrainer(FoldTrainer):
    """See FoldTrainer; what is judged are words, whose evidence is that of their sentence.

    Attributes:
        states: of the entities of train and validation.
    """

    params: LanguageParams
    prepared: PreparedText
    source: LanguageSource
    states: dict[str, EntityStates]
    temperature: float
    compute: Compute
    work: Path

    @property
    def classes(self) -> int:
        return len(self.prepared.tags)

    @cached_property
    def rows(self) -> Tensor:
        """Numbers of the sentences of training and validation, in rising order."""
        parts = [torch.from_numpy(self.prepared.rows(split)) for split in SPLITS]
        return torch.cat(parts).sort().values

    def folds(self) -> list[Fold]:
        """Stratified by each sentence's rarest type; every fold keeps what R is learned from."""
        return self._folds

    @cached_property
    def _folds(self) -> list[Fold]:
        section, has = self.params.tune, self._has()
        labels = rarest_groups(has)
        dealt = repeated_folds(labels, section.folds, section.repeats, self.params.sample_seed)
        needed = self._needed(has)
        return [keep_needed(fold, needed) for fold in dealt]

    def judged(self, fold: Fold) -> tuple[Tensor, Tensor]:
        tokens = self.prepared.tokens_of(self.rows[fold.held_out])
        return tokens.word_sentences.long(), tokens.labels

    def samples_passed(self) -> int:
        return sum(
            samples_passed(
                self.params.fine_tune, len(self.prepared.tokens_of(self.rows[fold.kept]))
            )
            for fold in self.folds()
        )

    def learn(self, fold: Fold, temperature: float) -> Tensor:
        store, kept = self.prepared.store, self.rows[fold.kept]
        states = {}
        for split, own in self.states.items():
            sentences = store.sentences[store.parts_of_words(own.words)]
            inside = torch.isin(sentences, kept.to(sentences))
            states[split] = EntityStates(own.states[inside], own.types[inside], own.words[inside])
        section = self.params.fit_relationship
        given = self.source.head, states, len(self.prepared.types), temperature
        if section.direction == "direct":
            learned = direct_word_relationship(*given, section.pseudo_samples)
        else:
            learned = learn_word_relationship(*given, section).relationship
        return learned.float()

    def train(
        self,
        fold: Fold,
        source_weight: float,
        temperature: float,
        relationship: Tensor | None,
        on_batch: Callable[[int], None],
    ) -> Tensor:
        compute, data = self.compute, self._data(fold)
        model = self.source.new_model(self.classes, fold.seed).to(compute.device)
        method, rows = BASELINE, torch.empty(0)
        if relationship is not None:
            method, rows = CO_TUNING, relationship.to(compute.device)
        objective = compose_text_method(method, model, rows, source_weight, temperature)
        section = self.params.fine_tune
        found = fit(model, objective, data, section, compute, fold.seed, on_batch=on_batch)
        model.load_state_dict(found.state)
        return predict_words(model.deploy(), data.validation, VALIDATION_BATCH, compute)

    def _data(self, fold: Fold) -> TokenData:
        kept, held_out = self.rows[fold.kept], self.rows[fold.held_out]
        prepared = self.prepared
        lengths = [len(prepared.sentences[row].tokens) for row in held_out.tolist()]
        tokens = prepared.tokens_of(kept), prepared.tokens_of(held_out)
        return TokenData(*tokens, prepared.tags, lengths)

    def _has(self) -> Tensor:
        """Which sentence has an entity of which type, and in the last column, of none."""
        types = self.prepared.types
        found = [
            {type_of(tag) for tag in self.prepared.sentences[row].tags}
            for row in self.rows.tolist()
        ]
        has = torch.tensor([[name in own for name in types] for own in found])
        return torch.cat([has, ~has.any(dim=1, keepdim=True)], dim=1)

    def _needed(self, has: Tensor) -> Tensor:
        """Groups of sentences [sentence, group], of each of which a fold must keep one: a type's
        in training, and those in validation that have an entity.
        """
        train = torch.isin(self.rows, torch.from_numpy(self.prepared.rows("train")))
        entities = ~has[:, -1]
        return torch.cat([has[:, :-1] & train[:, None], (entities & ~train)[:, None]], dim=1)


def rarest_groups(has: Tensor) -> Tensor:
    """Of each sample the rarest of the groups that it is of; where it is of none, their number.

    Args:
        has: bool [sample, group].
    """
    labels = torch.full((len(has),), has.shape[1])
    for place in has.sum(dim=0).argsort(stable=True).flip(0).tolist():
        labels[has[:, place]] = place
    return labels


def keep_needed(fold: Fold, needed: Tensor) -> Fold:
    """The fold, but that of a group it would hold out as a whole the first sample is kept.

    Args:
        needed: bool [sample, group]; each group has a sample.
    """
    missing = ~needed[fold.kept].any(dim=0)
    if not missing.any():
        return fold
    moved = needed[fold.held_out][:, missing].int().argmax(dim=0).unique()
    held_out = torch.ones(len(fold.held_out), dtype=torch.bool)
    held_out[moved] = False
    kept = torch.cat([fold.kept, fold.held_out[moved]]).sort().values
    return replace(fold, kept=kept, held_out=fold.held_out[held_out])
