"""What a training step asks of its device: nothing waits for it within an epoch; compiled steps."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.claims.pool import Pool
from pipeline.params.methods import Peers
from pipeline.params.sections import Training
from pipeline.sources.source_model import SourceModel
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.methods import SourceLabels, start_method, training_data

CPU = Compute(torch.device("cpu"), torch.float32)
READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
METHODS = ["vanilla", "co-tuning", "l2-sp", "delta", "bss", "stoch-norm", "bi-tuning", "lp-ft"]


class Waits(TorchDispatchMode):
    """Counts the numbers and sizes that hang on what is in a tensor: a GPU is waited for them."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in READS
        return func(*args, **(kwargs or {}))


def train(pool: Pool, method: str, compute: Compute, **options: Any) -> dict[str, Tensor]:
    sample = pool.draw(12, 0.25, 0)
    labels = SourceLabels(torch.ones(3, 5) / 5, pool.split_logits(sample), 1.0)
    start = start_method(
        method,
        pool.source,
        3,
        training_data(sample, pool.source),
        Training(epochs=2, batch_size=6, learning_rate=0.02, max_gradient_norm=1.0),
        Peers(),
        labels,
        2.3,
        compute,
        seed=0,
    )
    start.train(**options)
    return start.model.state_dict()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_waits_for_the_device_within_an_epoch(
    pool: Pool, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Waits()
    copy_to_processor = Tensor.cpu

    def counted(tensor: Tensor, *args: Any) -> Tensor:
        waits.count += 1
        return copy_to_processor(tensor, *args)

    monkeypatch.setattr(Tensor, "cpu", counted)
    after_batch: list[int] = []
    with waits:
        train(pool, method, CPU, on_batch=lambda images: after_batch.append(waits.count))
    assert len(after_batch) == 8
    for epoch in (after_batch[:4], after_batch[4:]):
        assert [late - early for early, late in itertools.pairwise(epoch)] == [0, 0, 0]
    assert waits.count > after_batch[-1], "what is read after an epoch is counted"


@pytest.mark.slow
def test_compiled_steps_train_as_others_do(pool: Pool) -> None:
    compiled = resolve_compute("cpu", "float32", compiles=True)
    source = without_dropout(pool.source)
    pool = replace(pool, source=source)
    expected, found = train(pool, "co-tuning", CPU), train(pool, "co-tuning", compiled)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)


def without_dropout(source: SourceModel) -> SourceModel:
    """Compiled dropout draws other numbers."""
    kept = [layer for layer in source.backbone if not isinstance(layer, nn.Dropout)]
    return replace(source, backbone=nn.Sequential(*kept))
