import warnings
from pathlib import Path

import pytest
import torch
import torch._inductor.config
from torch import nn

from pipeline.common.errors import UserError
from pipeline.cotuning.model import CoTuningModel
from pipeline.cotuning.objectives import Batch, co_tuning, compose, vanilla
from pipeline.training.compute import Compute, resolve_compute

HAS_GPU = torch.cuda.is_available()


def test_auto_takes_the_gpu_where_there_is_one() -> None:
    assert resolve_compute("auto", "auto").device.type == ("cuda" if HAS_GPU else "cpu")


def test_the_processor_computes_in_float32_unless_told_otherwise() -> None:
    assert resolve_compute("cpu", "auto") == Compute(torch.device("cpu"), torch.float32)
    assert resolve_compute("cpu", "bfloat16").dtype == torch.bfloat16
    assert resolve_compute("cpu", "float32").dtype == torch.float32


def test_a_gpu_that_is_not_there_is_refused() -> None:
    missing = torch.cuda.device_count()
    for device in [f"cuda:{missing}", *([] if HAS_GPU else ["cuda"])]:
        with pytest.raises(UserError) as caught:
            resolve_compute(device, "auto")
        assert str(caught.value) == (
            f"compute.device: {device} is not available, {missing} GPUs were found; use auto or cpu"
        )


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has it")
def test_mps_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"mps is not available.*use auto or cpu"):
        resolve_compute("mps", "auto")


def test_where_nothing_can_be_compiled_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    with (
        torch._inductor.config.patch({"cpp.cxx": (None, "none"), "force_disable_caches": True}),
        pytest.raises(UserError) as caught,
    ):
        resolve_compute("cpu", "float32", compiles=True)
    message = str(caught.value)
    assert message.startswith("compute.compile: nothing can be compiled for cpu: InvalidCxxComp")
    assert message.endswith("set compute.compile to false")
    assert "\n" not in message


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_losses_and_gradients_are_float32_in_either_precision(precision: str) -> None:
    compute = resolve_compute("cpu", precision)
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = CoTuningModel(backbone, nn.Linear(6, 4), 6, 2)
    images, labels = torch.rand(5, 3, 8, 8), torch.tensor([0, 1, 0, 1, 1])
    with warnings.catch_warnings(), compute.autocast():
        warnings.simplefilter("error")
        assert model(images).target_logits.dtype == compute.dtype
        for objective in vanilla, compose(co_tuning(torch.full((2, 4), 0.25), 1.5)):
            terms = objective(model, Batch(images, labels))
            assert {term.dtype for term in terms.values()} == {torch.float32}
    sum(terms.values()).backward()
    assert {value.grad.dtype for value in model.parameters()} == {torch.float32}


def test_bfloat16_moves_the_losses_only_a_little() -> None:
    torch.manual_seed(0)
    model = CoTuningModel(nn.Flatten(), nn.Linear(48, 4), 48, 2)
    images, labels = torch.randn(64, 3, 4, 4), torch.arange(64) % 2
    found = []
    for precision in "float32", "bfloat16":
        with resolve_compute("cpu", precision).autocast():
            terms = compose(co_tuning(torch.full((2, 4), 0.25), 1.0))(model, Batch(images, labels))
        found.append([term.item() for term in terms.values()])
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], rel=0.01)
