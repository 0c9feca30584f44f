"""A network that several processes train on parts of a batch as one would on the whole."""

from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from pipeline.common.errors import UserError
from pipeline.training.distributed import Processes


def over_processes(model: nn.Module, processes: Processes) -> nn.Module:
    """The network whose gradients are the mean over processes, normalised by whole batches.

    The model's batch normalisation is replaced, with the same parameters, buffers and names.
    Alone it stays as it is, and is the network itself.

    Raises:
        UserError: the network has batch normalisation of another kind.
    """
    if processes.count == 1:
        return model
    device = next(model.parameters()).device
    return DistributedDataParallel(normalised_by_whole_batches(model, device))


def normalised_by_whole_batches(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with its batch normalisation replaced: on a GPU by SyncBatchNorm, torch's own or
    timm's with an activation, elsewhere by WholeBatchNorm.

    Raises:
        UserError: it is of another kind than BatchNorm2d and timm's BatchNormAct2d.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)}
    for name, layer in layers.items():
        if type(layer) not in (nn.BatchNorm2d, BatchNormAct2d):
            raise UserError(
                f"{name} is a {type(layer).__name__}, which cannot normalise over several "
                "processes; fine-tune this network in one"
            )
    if device.type == "cuda":
        return convert_sync_batchnorm(model)
    for name, layer in layers.items():
        model.set_submodule(name, WholeBatchNorm(layer))
    return model


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by mean and variance of the batch in all processes.

    It is for the CPU: torch's own layer for this, SyncBatchNorm, computes on GPUs alone.

    Args:
        layer: whose parameters, buffers and, where it is timm's, activation it takes over.

    Source: Ioffe and Szegedy, Batch Normalization, ICML 2015, algorithm 1.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.affine, self.track_running_stats = layer.affine, layer.track_running_stats
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        self.after = nn.Sequential(
            *(getattr(layer, name) for name in ("drop", "act") if hasattr(layer, name))
        )
        self.train(layer.training)

    def forward(self, images: Tensor) -> Tensor:
        """A part [n, channel, height, width] of the batch, normalised in float32 or better."""
        if not self.training:
            return self._finish(super().forward(images))
        values = images.to(torch.promote_types(images.dtype, torch.float32))
        places = (0, 2, 3)
        count = _Total.apply(values.new_tensor(values.numel() / values.shape[1]))
        mean = _Total.apply(values.sum(places)) / count
        centred = values - mean[:, None, None]
        variance = _Total.apply(centred.square().sum(places)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        normalised = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            normalised = normalised * self.weight[:, None, None] + self.bias[:, None, None]
        return self._finish(normalised.to(images.dtype))

    def _finish(self, normalised: Tensor) -> Tensor:
        finished: Tensor = self.after(normalised)
        return finished

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the statistics that are used outside training."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Total(torch.autograd.Function):
    """The sum over processes, through which gradients flow back to each."""

    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
