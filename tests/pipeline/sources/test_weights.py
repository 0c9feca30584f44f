"""Weights in files that users bring: what is refused, and that nothing in them is run."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pipeline.common.errors import UserError
from pipeline.sources.weights import read_state

STATE = {"layer.weight": torch.ones(2000, 3), "layer.bias": torch.zeros(3)}


def saved(path: Path, content: Any) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_state(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


class _Payload:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_pickled_object_is_refused_and_never_run(tmp_path: Path) -> None:
    executed = tmp_path / "executed"
    torch.save({"weight": _Payload(executed)}, tmp_path / "a.pth")
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"weight": _Payload(executed)}, protocol=2))
    for name in "a.pth", "b.pt":
        message = refusal(tmp_path / name)
        assert "holds more than tensors, which is not loaded for safety" in message
        assert not executed.exists()
    torch.load(tmp_path / "a.pth", weights_only=False)
    assert executed.exists(), "the payload would not have shown that it ran"


def test_files_that_are_no_state_dict_are_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.pth", STATE).read_bytes()
    for suffix in ".pth", ".safetensors":
        for content in b"", b"a text that somebody saved as weights\n", whole[:5000]:
            (tmp_path / f"bad{suffix}").write_bytes(content)
            message = refusal(tmp_path / f"bad{suffix}")
            assert message.startswith(str(tmp_path / "bad"))
            assert "state dict" in message or "torch.save(model.state_dict(), ...)" in message
    for content in [1, 2], {0: torch.ones(2)}, {"epoch": 3, "network": STATE}:
        message = refusal(saved(tmp_path / "bad.pth", content))
        assert "save model.state_dict() alone" in message
    assert "does not exist" in refusal(tmp_path / "absent.pth")
