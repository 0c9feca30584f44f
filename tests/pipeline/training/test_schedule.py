"""How long training is and how fast it learns when, against torch's schedulers and fit()."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR
from transformers import get_scheduler

from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Batch, vanilla
from pipeline.datasets.batches import ImageSet, Preprocessing
from pipeline.params.sections import Training
from pipeline.training.compute import Compute
from pipeline.training.data import Data
from pipeline.training.distributed import ALONE
from pipeline.training.fit import FitResult, Loop, fit
from pipeline.training.schedule import Length, learning_rate_factor, training_length

CPU = Compute(torch.device("cpu"), torch.float32)
IMAGES = 26  # three batches of eight
AUTHORS = Training(
    epochs=None,
    iterations=9050,
    learning_rate=1e-3,
    weight_decay=5e-4,
    schedule="step",
    step_at=(6000,),
)


def new_loop(training: Training) -> Loop:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    model = CoTuningModel(backbone, nn.Linear(4, 5), 4, 2)
    labels = np.arange(IMAGES + 4) % 2
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 10, 10, 3), dtype=np.uint8)
    rows = np.arange(len(labels))
    data = Data(
        ImageSet(pixels, rows[:IMAGES], labels[:IMAGES]),
        ImageSet(pixels, rows[IMAGES:], labels[IMAGES:]),
        Preprocessing(8, (0.5,) * 3, (0.3,) * 3),
    )
    return Loop(model, vanilla, data, training, CPU)


def run(seen: Callable[[int], None] = lambda images: None, **training: Any) -> FitResult:
    loop = new_loop(Training(batch_size=8, **training))
    return fit(loop.model, vanilla, loop.data, loop.training, CPU, 0, on_batch=seen)


def drawn(loop: Loop, seed: int = 0) -> Iterator[Batch]:
    return loop.data.batches(loop.training, seed, False, loop.compute.device, ALONE.share)


def test_the_authors_learning_rates_at_their_iterations() -> None:
    """Of both parameter groups, stepping the optimizer itself from the first to the last."""
    loop = new_loop(AUTHORS)
    rates = []
    for _ in range(9050):
        rates.append([group["lr"] for group in loop.optimizer.param_groups])
        loop.optimizer.step()
        loop.schedule.step()
    assert rates[0] == rates[5999] == pytest.approx([1e-3, 1e-2])
    assert rates[6000] == rates[9049] == pytest.approx([1e-4, 1e-3])
    assert {tuple(pair) for pair in rates} == {tuple(rates[0]), tuple(rates[9049])}


def test_the_authors_optimizer_is_nesterov_with_their_momentum_and_decay() -> None:
    for group in new_loop(AUTHORS).optimizer.param_groups:
        assert group["nesterov"]
        assert (group["momentum"], group["weight_decay"]) == (0.9, 5e-4)


@pytest.mark.parametrize("schedule", ["cosine", "step"])
@pytest.mark.parametrize("length", [{"epochs": 6}, {"epochs": None, "iterations": 40}])
def test_the_learning_rate_follows_torchs_schedule(schedule: Any, length: dict[str, Any]) -> None:
    training = Training(**length, schedule=schedule, step_at=(2, 5), step_factor=0.3)
    unit = 7 if training.epochs else 1
    total = training.iterations or 6 * 7
    factor = learning_rate_factor(training, Length(total, iterations_per_epoch=7))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference: LRScheduler = CosineAnnealingLR(optimizer, T_max=total)
    if schedule == "step":
        reference = MultiStepLR(optimizer, milestones=[2 * unit, 5 * unit], gamma=0.3)
    for iteration in range(total + 1):
        assert factor(iteration) == pytest.approx(reference.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_warm_up_and_decay_are_those_of_transformers(schedule: str, warmup: float) -> None:
    factor = learning_rate_factor(
        Training(epochs=4, schedule=schedule, warmup=warmup), Length(40, iterations_per_epoch=10)
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = get_scheduler(schedule, optimizer, round(40 * warmup), 40)
    for iteration in range(40):
        assert factor(iteration) == pytest.approx(reference.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        reference.step()
    assert factor(40) == pytest.approx(0)


def test_adamw_steps_as_its_authors_wrote_it() -> None:
    """Loshchilov and Hutter, ICLR 2019, algorithm 2, in a step of its own for each group."""
    training = Training(batch_size=8, optimizer="adamw", learning_rate=0.01, weight_decay=0.1)
    loop = new_loop(training)
    before = {name: value.detach().clone() for name, value in loop.model.named_parameters()}
    rates = {id(p): g["lr"] for g in loop.optimizer.param_groups for p in g["params"]}
    loop.step(next(drawn(loop)))
    for name, value in loop.model.named_parameters():
        gradient = value.grad
        if gradient is None:
            assert value.equal(before[name])
            continue
        rate = rates[id(value)]
        moved = before[name] * (1 - rate * 0.1) - rate * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(value.detach(), moved)


def test_accumulated_batches_are_one_step_by_their_mean_gradient() -> None:
    training = Training(batch_size=4, accumulated_batches=2, momentum=0.0, weight_decay=0.0)
    loop = new_loop(training)
    batches = drawn(loop)
    first, second = next(batches), next(batches)
    both = Batch(torch.cat([first.inputs, second.inputs]), torch.cat([first.labels, second.labels]))
    whole = new_loop(training)
    loop.step(first, second)
    whole.step(both)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(loop.model.state_dict()[name], value)
    assert training_length(training.model_copy(update={"epochs": 3}), IMAGES).iterations == 9
    passed: list[int] = []
    run_training = Training(epochs=1, batch_size=4, accumulated_batches=2)
    fit(loop.model, vanilla, loop.data, run_training, CPU, 0, on_batch=passed.append)
    assert passed == [4] * 6


@pytest.mark.parametrize(
    ("given", "images", "iterations", "epochs"),
    [
        ({"epochs": 3}, 100, 6, 3),
        ({"epochs": 3}, 5, 3, 3),
        ({"epochs": 3, "iterations_per_epoch": 500}, 100, 1500, 3),
        ({"epochs": None, "iterations": 9050}, 4795, 9050, 92),
        ({"epochs": None, "iterations": 9050, "iterations_per_epoch": 1000}, 4795, 9050, 10),
        ({"epochs": None, "iterations": 9050}, 5, 9050, 9050),
        ({"epochs": None, "iterations": 4, "iterations_per_epoch": 1000}, 4795, 4, 1),
    ],
)
def test_the_parts_of_a_run_add_up_to_its_length(
    given: dict[str, Any], images: int, iterations: int, epochs: int
) -> None:
    length = training_length(Training(batch_size=48, **given), images)
    parts = [length.iterations_of(epoch) for epoch in range(1, length.epochs + 1)]
    assert (sum(parts), len(parts)) == (length.iterations, length.epochs) == (iterations, epochs)
    assert set(parts[:-1]) <= {length.iterations_per_epoch}
    assert min(parts) > 0


@pytest.mark.parametrize(
    ("given", "epochs"),
    [({}, 4), ({"iterations_per_epoch": 5}, 2), ({"iterations_per_epoch": 100}, 1)],
)
def test_training_ends_at_exactly_its_last_iteration(given: dict[str, int], epochs: int) -> None:
    batches: list[int] = []
    result = run(batches.append, epochs=None, iterations=10, **given)
    assert batches == [8] * 10
    assert [record["epoch"] for record in result.history] == [*range(1, epochs + 1)]


def test_a_pass_given_as_iterations_is_that_pass() -> None:
    plain = run(epochs=3, learning_rate=0.02).history
    assert run(epochs=3, learning_rate=0.02, iterations_per_epoch=3).history == plain
    in_iterations = run(epochs=None, iterations=9, learning_rate=0.02).history
    assert in_iterations == plain


def test_a_long_epoch_passes_the_images_again_in_another_order() -> None:
    loop = new_loop(Training(epochs=1, batch_size=IMAGES, iterations_per_epoch=2))
    batches = drawn(loop)
    first, second = next(batches)[1], next(batches)[1]
    assert first.sort().values.equal(second.sort().values)
    assert not first.equal(second)


def test_random_crops_are_no_smaller_than_asked_for() -> None:
    """Of random pixels, the mean over a large crop varies less than that over a small one."""

    def spread(smallest: float) -> float:
        loop = new_loop(Training(epochs=1, batch_size=IMAGES, smallest_crop=smallest))
        images = next(drawn(loop)).inputs
        return float(images.mean(dim=(1, 2, 3)).std())

    assert spread(1.0) < spread(0.01) / 2


def test_a_run_cut_inside_a_pass_goes_on_bit_for_bit(tmp_path: Path) -> None:
    training = Training(epochs=None, iterations=7, iterations_per_epoch=2, batch_size=8)
    whole, stopped, resumed = (new_loop(training) for _ in range(3))
    expected = fit(whole.model, vanilla, whole.data, training, CPU, 0)

    def stop(record: dict[str, float]) -> None:
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "run.pt"
    options: Any = {"seed": 0, "checkpoint": checkpoint}
    with pytest.raises(KeyboardInterrupt):
        fit(stopped.model, vanilla, stopped.data, training, CPU, on_epoch=stop, **options)
    batches: list[int] = []
    found = fit(
        resumed.model, vanilla, resumed.data, training, CPU, on_batch=batches.append, **options
    )
    assert batches == [8]
    assert found.history == expected.history
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
