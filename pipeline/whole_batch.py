"""A network that several processes train on parts of a batch as one would on the whole."""

from timm.layers.norm_act import BatchNormAct2d
import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from pipeline.distributed import Processes
from pipeline.errors import UserError


def over_processes(model: nn.Module, processes: Processes) -> nn.Module:
    """The network whose gradients are the mean over processes, normalised by whole batches.

    The model's batch normalisation takes its statistics over the parts of all processes from here
    on; names and contents of its state stay what they are. Alone it is the model itself.

    Raises:
        UserError: the network has batch normalisation of an unknown kind.
    """
    if processes.count == 1:
        return model
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            _synchronise(name, module)
    return DistributedDataParallel(model, broadcast_buffers=False)


class _WholeBatch(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the batch in all processes, also on the CPU."""

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        return normalise_whole_batch(self, images)


class _WholeBatchAct(BatchNormAct2d):  # type: ignore[misc]
    """As _WholeBatch, with the activation that timm's layer has."""

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        return self.act(self.drop(normalise_whole_batch(self, images)))


SYNCHRONISED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: _WholeBatch,
    BatchNormAct2d: _WholeBatchAct,
}


def normalise_whole_batch(layer: nn.BatchNorm2d, images: Tensor) -> Tensor:
    """What the layer gives in training for its part [n, channel, height, width] of a batch.

    Mean and variance, moving ones too, are those of the parts of all processes together, in
    float32; gradients flow through them to every process.

    Source: Ioffe and Szegedy, Batch Normalization, ICML 2015, algorithm 1.
    """
    values = images.float()
    places = (0, 2, 3)
    count = all_reduce(values.new_tensor(values.numel() / values.shape[1]))
    mean = all_reduce(values.sum(places)) / count
    centred = values - mean[:, None, None]
    variance = all_reduce(centred.square().sum(places)) / count
    if layer.track_running_stats:
        with torch.no_grad():
            assert layer.num_batches_tracked is not None
            layer.num_batches_tracked += 1
            momentum = layer.momentum or 1 / float(layer.num_batches_tracked)
            unbiased = variance * count / (count - 1)
            for moving, now in ((layer.running_mean, mean), (layer.running_var, unbiased)):
                assert moving is not None
                moving.lerp_(now.to(moving.dtype), momentum)
    normalised = centred * torch.rsqrt(variance + layer.eps)[:, None, None]
    if layer.affine:
        normalised = normalised * layer.weight[:, None, None] + layer.bias[:, None, None]
    return normalised.to(images.dtype)


def _synchronise(name: str, layer: nn.Module) -> None:
    if type(layer) not in SYNCHRONISED:
        raise UserError(
            f"{name} is a {type(layer).__name__}, which cannot normalise over several processes; "
            "fine-tune this network in one process"
        )
    layer.__class__ = SYNCHRONISED[type(layer)]
