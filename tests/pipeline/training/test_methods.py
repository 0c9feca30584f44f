import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from pipeline.artifacts import Prepared
from pipeline.claims.pool import Pool
from pipeline.common.errors import UserError
from pipeline.params.methods import Peers
from pipeline.params.sections import Training
from pipeline.sources.source_model import SourceModel
from pipeline.training.distributed import Processes
from pipeline.training.methods import SourceLabels, compose_method, new_model, training_data


@pytest.fixture
def source() -> SourceModel:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return SourceModel(
        backbone, nn.Linear(5, 7), tuple("abcdefg"), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), 8
    )


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_seed_decides_the_new_head_alone(source: SourceModel) -> None:
    first, again, other = (weights(new_model(source, 4, seed)) for seed in (1, 1, 2))
    differ = {name for name in first if not torch.equal(first[name], other[name])}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert differ == {"target_head.weight"}
    assert first["target_head.weight"].shape == (4, 5)


def test_a_new_model_starts_as_the_source_model(source: SourceModel) -> None:
    images = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        found = new_model(source, 4, 0)(images)
        assert torch.equal(found.source_logits, source.network()(images))
        assert torch.equal(found.features, source.backbone(images))


def test_training_a_model_leaves_the_source_model_alone(source: SourceModel) -> None:
    before = weights(source.network())
    model = new_model(source, 4, 0)
    for value in model.parameters():
        value.data.add_(1.0)
    assert all(
        torch.equal(before[name], value) for name, value in weights(source.network()).items()
    )


def test_training_data_are_cropped_and_normalised_for_the_source_model(
    source: SourceModel,
) -> None:
    splits = ["train", "validation", "test", "train"]
    manifest = pd.DataFrame({"row": range(4), "split": splits, "label": [0, 1, 0, 1]})
    images = np.zeros((4, 12, 12, 3), dtype=np.uint8)
    data = training_data(Prepared(manifest, ["x", "y"], [], images), source)
    assert (data.train.rows.tolist(), data.validation.rows.tolist()) == ([0, 3], [1])
    assert data.preprocessing.input_size == 8
    assert (data.preprocessing.mean, data.preprocessing.std) == (source.mean, source.std)


@pytest.mark.parametrize("part", ["delta", "bss", "stoch-norm", "bi-tuning"])
def test_what_needs_whole_batches_is_refused_in_several_processes(part: str, pool: Pool) -> None:
    model = new_model(pool.source, 3, 0)
    labels = SourceLabels(torch.ones(3, 5) / 5, pool.split_logits(pool.draw(4, 0.25, 0)), 1.0)
    arguments = (f"co-tuning+{part}", model, Training(), Peers(), labels, 2.3)
    with pytest.raises(UserError, match=f"{part} needs whole batches, which 2 processes do not"):
        compose_method(*arguments, Processes(0, 2))
    compose_method(*arguments)
