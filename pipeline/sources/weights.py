"""Weights in a file that a user brings: read without running anything that is in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.common.errors import UserError

SUFFIXES = (".safetensors", ".pt", ".pth")
WRAPPERS = ("state_dict", "model", "model_state_dict")


def is_local(weights: str) -> bool:
    """Whether source_model.weights is the path of a state dict, by its suffix."""
    return weights.endswith(SUFFIXES)


def does_not_fit(weights: str | Path, name: str, error: Exception) -> UserError:
    """Of a state dict that load_state_dict refused: its first complaint, in one line."""
    first = " ".join(str(error).split(":", 1)[-1].split())[:160]
    return UserError(f"{weights} does not fit {name}: {first}")


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict, out of the wrapper of a training script and without its `module.` prefixes.

    Raises:
        UserError: there is no such file, or it holds anything but names and tensors.
    """
    if not path.exists():
        raise UserError(f"source_model.weights: {path} does not exist")
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no readable state dict: {error}") from None
    except Exception as error:  # whatever the restricted unpickler comes across
        reason = "is no file of torch.save, or a damaged one"
        if "GLOBAL" in str(error):
            reason = "holds more than tensors, which is not loaded for safety"
        raise UserError(
            f"{path} {reason}; expected what torch.save(model.state_dict(), ...) writes"
        ) from None
    for wrapper in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise UserError(
            f"{path} holds a {type(state).__name__} that is no state dict (names to tensors); "
            "save model.state_dict() alone, or under the key 'state_dict'"
        )
    return {key.removeprefix("module."): value for key, value in state.items()}
