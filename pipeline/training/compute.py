"""Which device runs the network, and in which precision."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from pipeline.common.errors import UserError


@dataclass(frozen=True)
class Compute:
    """A device, the type that matrix products run in on it, and whether networks are compiled.

    Attributes:
        dtype: float32 or bfloat16.
        compiles: by torch.compile, which takes a minute at the start and makes steps shorter.
    """

    device: torch.device
    dtype: torch.dtype
    compiles: bool = False

    def ready(self, network: nn.Module) -> nn.Module:
        """The network as it is called here; it shares its weights with the one that is given."""
        compiled: Any = torch.compile(network) if self.compiles else network
        return cast(nn.Module, compiled)

    def autocast(self) -> AbstractContextManager[None]:
        """The context of a forward pass; parameters, losses and R stay in float32."""
        mixed = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=mixed)


def resolve_compute(device: str, precision: str, compiles: bool = False) -> Compute:
    """Turn the words of params.yaml into a device and a type.

    Args:
        device: auto (a GPU where there is one), cpu, cuda, cuda:N or mps.
        precision: auto (bfloat16 on a GPU that computes in it), float32 or bfloat16.
        compiles: networks that are trained are to be compiled.

    Raises:
        UserError: the device is not there, or nothing can be compiled for it.
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
    if compiles:
        _require_compiler(chosen)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return Compute(chosen, dtype, compiles)


def _require_compiler(device: torch.device) -> None:
    """Compile a sum: PyTorch says in no other way whether a compiler is there and works.

    Raises:
        UserError: it does not.
    """
    try:
        torch.compile(torch.add)(torch.zeros(1, device=device), 1)
    except Exception as error:
        reason = " ".join(str(error).strip().partition("\n\n")[0].split())
        raise UserError(
            f"compute.compile: nothing can be compiled for {device}: {reason}; install "
            "a C++ compiler (for a GPU also triton), or set compute.compile to false"
        ) from None
