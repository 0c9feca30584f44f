"""What a method trains and keeps beside the model: fit() trains, clips, saves and resumes it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.claims.pool import Pool
from pipeline.cotuning.model import Outputs
from pipeline.cotuning.objectives import Batch, Objective, Part, compose
from pipeline.params.methods import BiTuning, Peers
from pipeline.params.sections import Training
from pipeline.training.compute import Compute
from pipeline.training.fit import FitResult, Record, fit
from pipeline.training.methods import SourceLabels, compose_method, new_model, training_data

CPU = Compute(torch.device("cpu"), torch.float32)
THREE_EPOCHS = Training(epochs=3, batch_size=8, learning_rate=0.02)
PEERS = Peers(bi_tuning=BiTuning(projection_size=4, queue_size=3, momentum=0.9))


class StoppedError(Exception):
    pass


def train(
    pool: Pool, checkpoint: Path, stop_at: tuple[str, int] | None = None, seed: int = 0
) -> tuple[dict[str, Tensor], FitResult]:
    """By co-tuning+bi-tuning, from a model and keys of a seed; the states of both."""
    sample = pool.draw(12, 0.25, 0)
    model = new_model(pool.source, 3, seed)
    labels = SourceLabels(torch.ones(3, 5) / 5, pool.split_logits(sample), 1.0)
    objective, training = compose_method(
        "co-tuning+bi-tuning", model, THREE_EPOCHS, PEERS, labels, 2.3
    )
    passed: list[str] = []

    def passing(what: str) -> None:
        passed.append(what)
        if stop_at is not None and (what, passed.count(what)) == stop_at:
            raise StoppedError

    def on_epoch(record: Record) -> None:
        passing("epoch")

    def on_batch(images: int) -> None:
        passing("batch")

    data = training_data(sample, pool.source)
    result = fit(model, objective, data, training, CPU, 5, on_epoch, on_batch, checkpoint)
    return model.state_dict() | objective.state_dict(), result


@pytest.mark.parametrize("stop_at", [("epoch", 1), ("epoch", 3), ("batch", 5)])
def test_queues_and_slow_copies_go_on_bit_for_bit(
    pool: Pool, tmp_path: Path, stop_at: tuple[str, int]
) -> None:
    expected, whole = train(pool, tmp_path / "whole.pt")
    with pytest.raises(StoppedError):
        train(pool, tmp_path / "stopped.pt", stop_at)
    found, resumed = train(pool, tmp_path / "stopped.pt", seed=1)
    assert resumed.history == whole.history
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert all(torch.equal(resumed.state[name], value) for name, value in whole.state.items())


def beside_by(pool: Pool, limit: float | None) -> Tensor:
    """What three steps of training add to two weights whose gradient is 30 and 40."""
    beside = nn.Linear(2, 1, bias=False)
    start = beside.weight.detach().clone()

    def terms(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        return {"pull": (beside.weight * torch.tensor([30.0, 40.0])).sum()}

    objective: Objective = compose(Part(terms, beside=beside))
    training = Training(
        epochs=None,
        iterations=3,
        batch_size=8,
        learning_rate=0.01,
        momentum=0.0,
        weight_decay=0.0,
        schedule="step",
        step_at=(2,),
        max_gradient_norm=limit,
    )
    data = training_data(pool.draw(12, 0.25, 0), pool.source)
    fit(new_model(pool.source, 3, 0), objective, data, training, CPU, 0)
    return beside.weight.detach() - start


def test_it_learns_at_the_rate_of_the_pre_trained_weights(pool: Pool) -> None:
    expected = -0.01 * (1 + 1 + 0.1) * torch.tensor([[30.0, 40.0]])
    torch.testing.assert_close(beside_by(pool, None), expected)


def test_its_gradient_is_clipped_with_that_of_the_model(pool: Pool) -> None:
    """The model's own is small beside it."""
    expected = -0.01 * (1 + 1 + 0.1) * torch.tensor([[0.6, 0.8]])
    torch.testing.assert_close(beside_by(pool, 1.0), expected, rtol=0.01, atol=0)
