"""A linear probe as the result, and as the start of fine-tuning."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.claims.pool import Pool
from pipeline.common.errors import UserError
from pipeline.cotuning.linear_probe import LinearProbe, fit_linear_probe
from pipeline.datasets.batches import ImageSet
from pipeline.params.methods import Peers
from pipeline.params.sections import Training
from pipeline.training.compute import Compute
from pipeline.training.data import Data
from pipeline.training.fit import Record
from pipeline.training.methods import SourceLabels, Start, start_method, training_data

CPU = Compute(torch.device("cpu"), torch.float32)
STILL = Training(epochs=1, batch_size=8, learning_rate=1e-12, weight_decay=0.0)


@pytest.fixture
def data(pool: Pool) -> Data:
    return training_data(pool.draw(12, 0.25, 0), pool.source)


def start(pool: Pool, data: Data, method: str, seed: int = 0, training: Training = STILL) -> Start:
    labels = SourceLabels(torch.ones(3, 5) / 5, pool.split_logits(pool.draw(12, 0.25, 0)), 1.0)
    given = training, Peers(), labels, 2.3, CPU, seed
    return start_method(method, pool.source, 3, data, *given)


def centre_crops(data: Data, images: ImageSet) -> Tensor:
    pixels = torch.from_numpy(images.images[images.rows]).permute(0, 3, 1, 2)
    return data.preprocessing.center_crop(pixels)


@pytest.fixture
def expected(pool: Pool, data: Data) -> LinearProbe:
    """The probe of the source model itself."""
    backbone = pool.source.backbone.eval()
    with torch.no_grad():
        features = [backbone(centre_crops(data, part)) for part in (data.train, data.validation)]
    labels = [torch.from_numpy(part.labels) for part in (data.train, data.validation)]
    return fit_linear_probe(features[0], labels[0], features[1], labels[1], 3)


def assert_is(head: torch.nn.Linear, probe: LinearProbe) -> None:
    torch.testing.assert_close(head.weight.detach(), probe.weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(head.bias.detach(), probe.bias, rtol=1e-4, atol=1e-4)


def test_a_linear_probe_is_the_source_model_with_a_new_head(
    pool: Pool, data: Data, expected: LinearProbe, tmp_path: Path
) -> None:
    records: list[Record] = []
    passed: list[int] = []
    probed = start(pool, data, "linear-probe")
    checkpoint = tmp_path / "run.pt"
    result = probed.train(on_epoch=records.append, on_batch=passed.append, checkpoint=checkpoint)
    assert_is(probed.model.target_head, expected)
    before = pool.source.backbone.state_dict()
    for name, value in before.items():
        assert torch.equal(result.state[f"backbone.{name}"], value)
    images, labels = centre_crops(data, data.validation), torch.from_numpy(data.validation.labels)
    with torch.no_grad():
        logits = pool.source.backbone.eval()(images) @ expected.weight.T + expected.bias
    found = {
        "validation_nll": float(torch.nn.functional.cross_entropy(logits, labels)),
        "validation_accuracy": float((logits.argmax(dim=1) == labels).float().mean()),
    }
    assert records == result.history
    assert records[0] == pytest.approx({"epoch": 1, "learning_rate": 0} | found, rel=1e-4)
    assert result.kept_epoch == 1
    assert sum(passed) == probed.images_passed == len(data.train) + len(data.validation)
    assert not checkpoint.exists()


def test_the_seed_has_no_part_in_a_linear_probe(pool: Pool, data: Data) -> None:
    first, other = (start(pool, data, "linear-probe", seed).train() for seed in (0, 1))
    assert first.history == other.history
    assert all(torch.equal(first.state[name], value) for name, value in other.state.items())


@pytest.mark.parametrize("method", ["lp-ft", "lp-ft+co-tuning", "bss+lp-ft"])
def test_fine_tuning_starts_from_the_probe(
    pool: Pool, data: Data, expected: LinearProbe, method: str
) -> None:
    result = start(pool, data, method).train()
    model = start(pool, data, method).model
    assert_is(model.target_head, expected)
    model.load_state_dict(result.state)
    assert_is(model.target_head, expected)
    assert ("source_loss" in result.history[0]) == ("co-tuning" in method)
    assert ("spectral_shrinkage" in result.history[0]) == ("bss" in method)


def test_it_then_trains_the_whole_network_by_the_source_models_statistics(
    pool: Pool, data: Data
) -> None:
    """By vanilla with the probe put in and normalisation held by hand, bit for bit."""

    def hold(layer: torch.nn.Module, inputs: object) -> None:
        layer.eval()

    training = Training(epochs=2, batch_size=8, learning_rate=0.001)
    probed, plain = (start(pool, data, name, 3, training) for name in ("lp-ft", "vanilla"))
    plain.model.load_state_dict(probed.model.state_dict())
    for layer in plain.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.register_forward_pre_hook(hold)
    found, wanted = probed.train(), plain.train()
    assert found.history == wanted.history
    assert all(torch.equal(found.state[name], value) for name, value in wanted.state.items())
    backbone = pool.source.backbone.state_dict()
    assert not torch.equal(found.state["backbone.0.weight"], backbone["0.weight"])
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(found.state[f"backbone.1.{name}"], backbone[f"1.{name}"])


@pytest.mark.parametrize("method", ["linear-probe", "lp-ft"])
def test_what_no_probe_can_be_fitted_on_is_refused(pool: Pool, data: Data, method: str) -> None:
    without = data.train.labels != 1
    some = replace(data, train=data.train.part(torch.from_numpy(without)))
    with pytest.raises(UserError, match="no linear probe can be fitted: class 1 has no training"):
        start(pool, some, method).train()
    with pytest.raises(UserError, match="got 27 training and 0 validation images"):
        start(pool, replace(data, validation=data.validation.part(slice(0))), method).train()
