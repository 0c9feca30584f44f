"""Which device runs the network, and in which precision."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from pipeline.common.errors import UserError


@dataclass(frozen=True)
class Compute:
    """A device and the type that matrix products run in on it (float32 or bfloat16)."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> AbstractContextManager[None]:
        """The context of a forward pass; parameters, losses and R stay in float32."""
        mixed = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=mixed)


def resolve_compute(device: str, precision: str) -> Compute:
    """Turn the words of params.yaml into a device and a type.

    Args:
        device: auto (a GPU where there is one), cpu, cuda, cuda:N or mps.
        precision: auto (bfloat16 on a GPU that computes in it), float32 or bfloat16.

    Raises:
        UserError: the device is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"compute.device: {device} is not available, {torch.cuda.device_count()} GPUs were "
            "found; use auto or cpu"
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("compute.device: mps is not available on this machine; use auto or cpu")
    if precision == "auto":
        has_bfloat16 = chosen.type == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bfloat16" if has_bfloat16 else "float32"
    return Compute(chosen, torch.bfloat16 if precision == "bfloat16" else torch.float32)
