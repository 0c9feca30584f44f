"""Folds of the training and validation images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from pipeline.artifacts import Prepared, SplitLogits
from pipeline.cotuning.knowledge import Learner
from pipeline.cotuning.linear_probe import cross_validated_linear_probe
from pipeline.params import Params
from pipeline.params.methods import BASELINE, CO_TUNING, LINEAR_PROBE
from pipeline.search.evidence import HeldOut
from pipeline.sources.from_logits import learn_relationship, source_predictions
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import Compute
from pipeline.training.data import Data
from pipeline.training.inference import EVALUATION_BATCH, predict_crops
from pipeline.training.methods import SourceLabels, start_method, training_data
from pipeline.training.probe import frozen_features
from pipeline.tuning.folds import Fold, FoldTrainer, repeated_folds

NOTHING = SourceLabels(torch.empty(0, 0), {}, 1.0)


@dataclass(frozen=True)
class ImageFoldTrainer(FoldTrainer):
    """See FoldTrainer.

    Attributes:
        splits: source logits of train and validation.
    """

    params: Params
    prepared: Prepared
    source: SourceModel
    splits: dict[str, SplitLogits]
    temperature: float
    compute: Compute
    work: Path

    @property
    def classes(self) -> int:
        return len(self.prepared.classes)

    @cached_property
    def data(self) -> Data:
        return training_data(self.prepared, self.source)

    @cached_property
    def labels(self) -> Tensor:
        return torch.from_numpy(self.data.joined().labels)

    def folds(self) -> list[Fold]:
        section = self.params.tune
        return repeated_folds(self.labels, section.folds, section.repeats, self.params.sample_seed)

    def judged(self, fold: Fold) -> tuple[Tensor, Tensor]:
        return fold.held_out, self.labels[fold.held_out]

    def samples_passed(self) -> int:
        return sum(
            self.data.dealt(fold.kept, fold.held_out).images_passed(self.params.fine_tune)
            for fold in self.folds()
        )

    def peers(self) -> dict[str, list[HeldOut]]:
        """The linear probe of each fold's kept images, its strength chosen on folds of these."""
        data, backbone = self.data, self.source.backbone.to(self.compute.device)
        features, labels = frozen_features(backbone, data.joined(), data, self.compute)
        found = []
        for fold in self.folds():
            kept, places = fold.kept, fold.held_out
            probe = cross_validated_linear_probe(features[kept], labels[kept], self.classes)
            found.append(HeldOut(places, probe.logits(features[places]), labels[places]))
        return {LINEAR_PROBE: found}

    def learn(self, fold: Fold, temperature: float) -> Tensor:
        probabilities, labels = source_predictions(self.splits, temperature)
        return self._learner(temperature)(probabilities[fold.kept], labels[fold.kept])

    @cached_property
    def _learners(self) -> dict[float, Learner]:
        return {}

    def _learner(self, temperature: float) -> Learner:
        way = self.params.fit_relationship
        if temperature not in self._learners:
            found = learn_relationship(self.splits, self.classes, temperature, way)
            self._learners[temperature] = found.learner
        return self._learners[temperature]

    def train(
        self,
        fold: Fold,
        source_weight: float,
        temperature: float,
        relationship: Tensor | None,
        on_batch: Callable[[int], None],
    ) -> Tensor:
        section, data = self.params.fine_tune, self.data.dealt(fold.kept, fold.held_out)
        labels = NOTHING
        if relationship is not None:
            rows = relationship.to(self.compute.device)
            labels = SourceLabels(rows, self.splits, temperature)
        start = start_method(
            BASELINE if relationship is None else CO_TUNING,
            self.source,
            self.classes,
            data,
            section,
            section.peers,
            labels,
            source_weight,
            self.compute,
            fold.seed,
        )
        start.model.load_state_dict(start.train(on_batch=on_batch).state)
        network = start.model.deploy()
        return predict_crops(
            network, data.validation, data.preprocessing, 1, EVALUATION_BATCH, self.compute
        )
