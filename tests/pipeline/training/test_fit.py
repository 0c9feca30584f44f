"""fit() against a plain loop; that it repeats, resumes, chooses and refuses as it says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from pipeline.common.errors import UserError
from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Objective, co_tuning, compose, vanilla
from pipeline.datasets.batches import ImageSet, Preprocessing, evaluation_batches, training_batches
from pipeline.params.sections import Training
from pipeline.training.compute import Compute
from pipeline.training.data import Data
from pipeline.training.fit import EPOCHS_PER_SEED, FitResult, fit
from pipeline.training.inference import predict, validate

CPU = Compute(torch.device("cpu"), torch.float32)
CLASSES, SOURCE = 3, 5
THREE_EPOCHS = Training(epochs=3, batch_size=8, learning_rate=0.02)
RELATIONSHIP = torch.softmax(torch.randn(CLASSES, SOURCE, generator=torch.Generator()), dim=1)


def new_model(seed: int = 0) -> CoTuningModel:
    torch.manual_seed(seed)
    backbone = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)),
    )
    return CoTuningModel(backbone, nn.Linear(16, SOURCE), 16, CLASSES)


def new_data(train: int = 26, validation: int = 12) -> Data:
    """The class is the channel that is brightest."""
    rng = np.random.default_rng(0)
    labels = np.arange(train + validation) % CLASSES
    images = rng.integers(0, 128, (len(labels), 16, 16, 3), dtype=np.uint8)
    images[np.arange(len(labels)), :, :, labels] += 100
    rows = np.arange(len(labels))
    return Data(
        ImageSet(images, rows[:train], labels[:train]),
        ImageSet(images, rows[train:], labels[train:]),
        Preprocessing(12, (0.4, 0.4, 0.4), (0.3, 0.3, 0.3)),
    )


def run(
    objective: Objective = vanilla,
    training: Training = THREE_EPOCHS,
    seed: int = 0,
    model: CoTuningModel | None = None,
    data: Data | None = None,
    **options: Any,
) -> tuple[CoTuningModel, FitResult]:
    model = model or new_model()
    return model, fit(model, objective, data or new_data(), training, CPU, seed, **options)


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], value) for name, value in second.items())


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("limit", [None, 0.05])
def test_fit_is_a_plain_loop(limit: float | None) -> None:
    training = THREE_EPOCHS.model_copy(update={"max_gradient_norm": limit})
    objective = compose(co_tuning(RELATIONSHIP, 2.0))
    model, result = run(objective, training, seed=5)

    data, plain, norms, losses = new_data(), new_model(), [], []
    head = [value for name, value in plain.named_parameters() if name.startswith("target_head")]
    rest = [value for name, value in plain.named_parameters() if not name.startswith("target_head")]
    options = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    optimizers = [torch.optim.SGD(rest, 0.02, **options), torch.optim.SGD(head, 0.2, **options)]
    schedules = [CosineAnnealingLR(optimizer, T_max=9) for optimizer in optimizers]
    for epoch in 1, 2, 3:
        torch.manual_seed(5 * EPOCHS_PER_SEED + epoch)
        draws = torch.Generator().manual_seed(5 * EPOCHS_PER_SEED + epoch)
        batches = training_batches(data.train, data.preprocessing, 8, draws, CPU.device)
        for images, labels, _ in batches:
            features = plain.backbone(images)
            target_loss = F.cross_entropy(plain.target_head(features), labels)
            logs = plain.source_head(features).log_softmax(dim=1)
            source_loss = -2.0 * (RELATIONSHIP[labels] * logs).sum(dim=1).mean()
            plain.zero_grad()
            (target_loss + source_loss).backward()
            norms.append(nn.utils.clip_grad_norm_(plain.parameters(), limit or torch.inf))
            for step in *optimizers, *schedules:
                step.step()
            losses.append((target_loss.item(), source_loss.item()))
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), atol=1e-5, rtol=1e-4)
    for number, record in enumerate(result.history):
        means = np.mean(losses[3 * number : 3 * number + 3], axis=0)
        assert [record["target_loss"], record["source_loss"]] == pytest.approx(means, rel=1e-4)
    assert limit is None or min(norms) > limit, "the limit had no effect"


def test_the_seed_alone_decides_the_weights() -> None:
    _, first = run(seed=1)
    model = new_model()
    torch.rand(7)  # the global generator has no part in it
    assert run(seed=1, model=model)[1].history == first.history
    assert equal(model.state_dict(), run(seed=1)[0].state_dict())
    assert not equal(first.state, run(seed=2)[1].state)


@pytest.mark.parametrize(
    ("callback", "call"),
    [("on_epoch", 1), ("on_epoch", 2), ("on_epoch", 3), ("on_batch", 5), ("on_batch", 9)],
)
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, callback: str, call: int) -> None:
    """Stopped after an epoch, or inside one (of three batches)."""
    objective, checkpoint = compose(co_tuning(RELATIONSHIP, 2.3)), tmp_path / "work" / "run.pt"
    whole_model, whole = run(objective)
    left = iter(range(call - 1))

    def interrupt(argument: object) -> None:
        if next(left, None) is None:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(objective, checkpoint=checkpoint, **{callback: interrupt})
    records: list[dict[str, float]] = []
    options = {"checkpoint": checkpoint, "on_epoch": records.append}
    model, resumed = run(objective, model=new_model(99), **options)
    assert equal(resumed.state, whole.state)
    assert equal(model.state_dict(), whole_model.state_dict())
    assert resumed.history == whole.history == records
    assert resumed.kept_epoch == whole.kept_epoch


def test_source_weight_zero_is_vanilla_bit_for_bit() -> None:
    _, zero = run(compose(co_tuning(RELATIONSHIP, 0.0)))
    _, plain = run(vanilla)
    assert equal(zero.state, plain.state)
    assert zero.history == plain.history
    assert not equal(plain.state, run(compose(co_tuning(RELATIONSHIP, 0.1)))[1].state)


@pytest.mark.parametrize(
    ("favoured", "best"),
    [
        ([(1, 0.5), (0, 30.0), (1, 0.5)], 2),  # accuracy counts, not the likelihood
        ([(0, 30.0), (0, 20.0), (0, 0.5), (0, 10.0)], 3),  # but for a tie
        ([(0, 0.5), (2, 0.5), (1, 0.5)], 1),
    ],
)
def test_the_most_accurate_epoch_is_kept(favoured: list[tuple[int, float]], best: int) -> None:
    """The head all but says in each epoch: one class, with so much confidence."""
    model, data = new_model(), new_data()
    seldom = replace(data.validation, labels=np.repeat([0, 1, 2], [6, 4, 2]))
    data = replace(data, validation=seldom)
    training = Training(epochs=len(favoured), batch_size=8, learning_rate=1e-6)

    def favour(record: dict[str, float]) -> None:
        if record["epoch"] < len(favoured):
            label, bias = favoured[int(record["epoch"])]
            model.target_head.bias.data = bias * F.one_hot(torch.tensor(label), CLASSES).float()

    favour({"epoch": 0})
    _, result = run(model=model, data=data, training=training, on_epoch=favour)
    assert result.kept_epoch == best
    assert [record["epoch"] for record in result.history] == [*range(1, len(favoured) + 1)]
    kept = new_model(1)
    kept.load_state_dict(result.state)
    found = validate(kept.deploy(), data.validation, data.preprocessing, CPU)
    assert found.items() <= result.history[best - 1].items()


def test_the_last_epoch_is_kept_where_it_is_wanted() -> None:
    training = Training(epochs=3, batch_size=8, learning_rate=0.03, kept_epoch="last")
    model, result = run(training=training)
    assert result.kept_epoch == 3
    last = model.state_dict()
    assert all(torch.equal(result.state[name], value) for name, value in last.items())


@pytest.mark.parametrize("objective", [vanilla, compose(co_tuning(RELATIONSHIP, 1.0))])
def test_a_learnable_problem_is_learnt(objective: Objective) -> None:
    training = Training(epochs=10, batch_size=8, learning_rate=0.03)
    _, result = run(objective, training, data=new_data(60, 30))
    first, last = result.history[0], result.history[-1]
    assert last["target_loss"] < first["target_loss"] / 2
    assert last["validation_accuracy"] > 0.9
    assert last.get("source_loss", 0) <= first.get("source_loss", 0)


def test_predict_is_a_plain_loop_in_evaluation_mode() -> None:
    data, model = new_data(train=2, validation=23), run()[0].train()
    arguments = data.validation, data.preprocessing, 10, CPU.device
    seen: list[int] = []
    logits, labels = predict(model.deploy(), evaluation_batches(*arguments), CPU, seen.append)
    model.eval()
    with torch.no_grad():
        expected = [model(images).target_logits for images, _ in evaluation_batches(*arguments)]
    torch.testing.assert_close(logits, torch.cat(expected))
    assert torch.equal(labels, torch.from_numpy(data.validation.labels))
    assert seen == [10, 10, 3]


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.pt"
    with pytest.raises(UserError, match=r"not finite in epoch 1; lower the learning_rate \(1e\+30"):
        run(training=Training(learning_rate=1e30), checkpoint=checkpoint)
    assert not checkpoint.exists()


@pytest.mark.parametrize(("count", "batches"), [(26, [8, 8, 8]), (5, [5]), (2, [2]), (8, [8])])
def test_no_batch_is_smaller_than_two(count: int, batches: list[int]) -> None:
    data, seen = new_data(train=count), []
    run(training=THREE_EPOCHS, data=data, on_batch=seen.append)
    assert seen == 3 * batches
    assert data.images_passed(THREE_EPOCHS) == sum(seen)


@pytest.mark.parametrize(("train", "validation"), [(1, 12), (0, 12), (26, 0)])
def test_too_few_images_are_refused(train: int, validation: int) -> None:
    with pytest.raises(UserError, match=f"got {train} training and {validation} validation"):
        run(data=new_data(train, validation))


def test_co_tuning_passes_the_backbone_once_a_step() -> None:
    model, passes = new_model(), []
    model.backbone.register_forward_hook(lambda module, *_: passes.append(module.training))
    run(compose(co_tuning(RELATIONSHIP, 2.3)), model=model)
    assert passes == 3 * [True, True, True, False]


def test_bfloat16_trains_float32_parameters() -> None:
    mixed, model = replace(CPU, dtype=torch.bfloat16), new_model()
    result = fit(model, compose(co_tuning(RELATIONSHIP, 1.0)), new_data(), THREE_EPOCHS, mixed, 0)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert result.history[-1]["target_loss"] < result.history[0]["target_loss"]
    assert result.history != run(compose(co_tuning(RELATIONSHIP, 1.0)))[1].history
