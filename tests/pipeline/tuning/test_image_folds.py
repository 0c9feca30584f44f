"""Candidates trained on folds, as fine-tune trains the method."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.claims.pool import Pool
from pipeline.cotuning.relationship import direct_relationship
from pipeline.params import Params
from pipeline.params.sections import FineTune, FitRelationship, SourceModel, Tune
from pipeline.sources.from_logits import source_predictions
from pipeline.training.compute import Compute
from pipeline.training.fit import fit
from pipeline.training.methods import SourceLabels, compose_method, new_model
from pipeline.tuning import image_folds
from pipeline.tuning.folds import repeated_folds
from pipeline.tuning.image_folds import ImageFoldTrainer

CPU = Compute(torch.device("cpu"), torch.float32)
PARAMS = Params(
    seed=3,
    source_model=SourceModel(input_size=16),
    tune=Tune(folds=2, repeats=2),
    fit_relationship=FitRelationship(direction="direct"),
    fine_tune=FineTune(epochs=2, batch_size=8, kept_epoch="last"),
)


@pytest.fixture
def trainer(pool: Pool, tmp_path: Path) -> ImageFoldTrainer:
    sample = pool.draw(6, 0.25, seed=0)
    splits = pool.split_logits(sample)
    return ImageFoldTrainer(PARAMS, sample, pool.source, splits, 1.5, CPU, tmp_path)


def test_every_image_is_held_out_once_in_each_repeat_and_dealt_out_anew() -> None:
    labels = torch.arange(30) % 3
    folds = repeated_folds(labels, 5, 2, seed=0)
    assert len(folds) == 10
    for repeat in (folds[:5], folds[5:]):
        assert sorted(torch.cat([fold.held_out for fold in repeat]).tolist()) == list(range(30))
        assert all((labels[fold.held_out].bincount() == 2).all() for fold in repeat)
    assert {fold.seed for fold in folds} == {0, 1}
    assert not torch.equal(folds[0].held_out, folds[5].held_out)


def test_a_fold_is_trained_as_fine_tune_does_by_what_its_kept_images_tell(
    trainer: ImageFoldTrainer,
) -> None:
    found = list(trainer.held_out(2.3, 0.8))
    fold, data = trainer.folds()[3], trainer.data
    probabilities, labels = source_predictions(trainer.splits, 1.5 * 0.8)
    relationship = direct_relationship(probabilities[fold.kept], labels[fold.kept], 3)
    model = new_model(trainer.source, 3, fold.seed)
    taught = SourceLabels(relationship, trainer.splits, 1.2)
    section = PARAMS.fine_tune
    objective, training = compose_method("co-tuning", model, section, section.peers, taught, 2.3)
    dealt = data.dealt(fold.kept, fold.held_out)
    fit(model, objective, dealt, training, CPU, fold.seed)
    images = torch.stack([dealt.validation[[place]][0][0] for place in range(len(fold.held_out))])
    with torch.inference_mode():
        expected = model.deploy().eval()(data.preprocessing.center_crop(images))
    torch.testing.assert_close(found[3].logits, expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(found[3].labels, labels[fold.held_out])


def test_a_weight_of_zero_is_vanilla_at_every_temperature(trainer: ImageFoldTrainer) -> None:
    one, other = (list(trainer.held_out(0.0, factor)) for factor in (1.0, 2.0))
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(one, other, strict=True))
    weighted = list(trainer.held_out(1.0, 1.0))
    assert not torch.equal(one[0].logits, weighted[0].logits)


def test_no_fold_is_trained_twice(trainer: ImageFoldTrainer) -> None:
    passed: list[int] = []
    first = next(trainer.held_out(0.0, 1.0, passed.append))
    assert sum(passed) * 4 == trainer.samples_passed()
    again = list(trainer.held_out(0.0, 1.0, passed.append))
    assert sum(passed) == trainer.samples_passed()
    assert torch.equal(again[0].logits, first.logits)
    more = replace(trainer, params=PARAMS.model_copy(update={"tune": Tune(folds=2, repeats=3)}))
    assert len(list(more.held_out(0.0, 1.0, passed.append))) == 6
    assert sum(passed) == more.samples_passed()


def test_a_relationship_is_learned_once_for_each_temperature_and_fold(
    trainer: ImageFoldTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    learned = image_folds.learn_relationship

    def counting(splits, classes, temperature, way):
        seen.append(temperature)
        return learned(splits, classes, temperature, way)

    monkeypatch.setattr(image_folds, "learn_relationship", counting)
    for weight, factor in ((1.0, 1.0), (2.0, 1.0), (2.0, 0.8)):
        next(trainer.held_out(weight, factor))
    assert seen == [1.5, 1.5 * 0.8]
