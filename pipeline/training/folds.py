"""Candidates of a search, each trained on folds of the training and validation images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.artifacts import Prepared, SplitLogits
from pipeline.common.damage import reading_work
from pipeline.common.tensors import write_tensors
from pipeline.cotuning.folds import stratified_folds
from pipeline.cotuning.knowledge import Learner
from pipeline.cotuning.linear_probe import cross_validated_linear_probe
from pipeline.params import Params
from pipeline.params.methods import BASELINE, CO_TUNING
from pipeline.search.evidence import HeldOut
from pipeline.sources.from_logits import learn_relationship, source_predictions
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import Compute
from pipeline.training.data import Data
from pipeline.training.inference import EVALUATION_BATCH, predict_crops
from pipeline.training.methods import SourceLabels, start_method, training_data
from pipeline.training.probe import frozen_features


@dataclass(frozen=True)
class Fold:
    """Places of images among those of training and validation together.

    Attributes:
        kept, held_out: to train on, and to judge by.
        seed: of the head and of the batches.
    """

    kept: Tensor
    held_out: Tensor
    seed: int


def repeated_folds(labels: Tensor, folds: int, repeats: int, seed: int) -> list[Fold]:
    """Stratified folds of labelled images, dealt out anew and with another seed in each repeat."""
    return [
        Fold(kept, held_out, seed + repeat)
        for repeat in range(repeats)
        for kept, held_out in stratified_folds(labels, folds, seed + repeat)
    ]


@dataclass(frozen=True)
class FoldTrainer:
    """Trains candidates on folds, each exactly as fine-tune trains the method.

    Attributes:
        temperature: the calibrated one.
        splits: source logits of train and validation.
        work: folder of what is finished, so that no fold is trained twice.
    """

    params: Params
    prepared: Prepared
    source: SourceModel
    splits: dict[str, SplitLogits]
    temperature: float
    compute: Compute
    work: Path

    @cached_property
    def _relationships(self) -> dict[tuple[float, int], Tensor]:
        """Of what was learned, by temperature and the number of the fold."""
        return {}

    @cached_property
    def data(self) -> Data:
        return training_data(self.prepared, self.source)

    def folds(self) -> list[Fold]:
        section, labels = self.params.tune, torch.from_numpy(self.data.joined().labels)
        return repeated_folds(labels, section.folds, section.repeats, self.params.sample_seed)

    def held_out(
        self,
        source_weight: float,
        temperature_factor: float,
        on_batch: Callable[[int], None] = lambda images: None,
    ) -> Iterator[HeldOut]:
        """Of each fold what the candidate predicts for its images; a weight of 0 is vanilla.

        Raises:
            DivergedError: a training did.
        """
        labels = torch.from_numpy(self.data.joined().labels)
        teach = self._teacher(self.temperature * temperature_factor) if source_weight else _nothing
        name = f"{source_weight:.8g}-{temperature_factor:.8g}"
        for number, fold in enumerate(self.folds()):
            path = self.work / f"{name}-{number}.safetensors"
            if not path.exists():
                logits = self._train(fold, source_weight, teach(number, fold), on_batch)
                write_tensors(path, {"logits": logits})
            yield HeldOut(fold.held_out, self._logits(path, fold), labels[fold.held_out])

    def _logits(self, path: Path, fold: Fold) -> Tensor:
        with reading_work(path):
            logits = load_file(path)["logits"]
            shape = len(fold.held_out), len(self.prepared.classes)
            if logits.shape != shape:
                raise ValueError(f"logits {tuple(logits.shape)} are not {shape}")
            return logits

    def held_out_by_probe(self) -> list[HeldOut]:
        """Of each fold what the linear probe of its kept images predicts for those held out.

        The probe's strength is chosen on folds of the kept images.
        """
        data, backbone = self.data, self.source.backbone.to(self.compute.device)
        features, labels = frozen_features(backbone, data.joined(), data, self.compute)
        classes = len(self.prepared.classes)
        found = []
        for fold in self.folds():
            kept, places = fold.kept, fold.held_out
            probe = cross_validated_linear_probe(features[kept], labels[kept], classes)
            found.append(HeldOut(places, probe.logits(features[places]), labels[places]))
        return found

    def images_passed(self) -> int:
        """How many images a candidate passes in all its trainings."""
        return sum(
            self.data.dealt(fold.kept, fold.held_out).images_passed(self.params.fine_tune)
            for fold in self.folds()
        )

    def _teacher(self, temperature: float) -> Callable[[int, Fold], SourceLabels]:
        """Source labels by the relationship of a fold's kept images, learned in one way for all.

        It is learned once for each temperature and fold, whatever the source weights tried.
        """

        def teach(number: int, fold: Fold) -> SourceLabels:
            key = temperature, number
            if key not in self._relationships:
                probabilities, labels = source_predictions(self.splits, temperature)
                learn = self._learner(temperature)
                self._relationships[key] = learn(probabilities[fold.kept], labels[fold.kept])
            relationship = self._relationships[key].to(self.compute.device)
            return SourceLabels(relationship, self.splits, temperature)

        return teach

    @cached_property
    def _learners(self) -> dict[float, Learner]:
        return {}

    def _learner(self, temperature: float) -> Learner:
        classes, way = len(self.prepared.classes), self.params.fit_relationship
        if temperature not in self._learners:
            found = learn_relationship(self.splits, classes, temperature, way)
            self._learners[temperature] = found.learner
        return self._learners[temperature]

    def _train(
        self,
        fold: Fold,
        source_weight: float,
        labels: SourceLabels,
        on_batch: Callable[[int], None],
    ) -> Tensor:
        """Logits [held out, classes] of the images that the fold holds out."""
        section, data = self.params.fine_tune, self.data.dealt(fold.kept, fold.held_out)
        start = start_method(
            CO_TUNING if source_weight else BASELINE,
            self.source,
            len(self.prepared.classes),
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


def _nothing(number: int, fold: Fold) -> SourceLabels:
    return SourceLabels(torch.empty(0, 0), {}, 1.0)
