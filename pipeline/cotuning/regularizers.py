"""The peers that Co-Tuning is compared with, as parts of a method."""

import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .bi_tuning import bi_tuning
from .model import CoTuningModel, Outputs
from .objectives import Batch, Part

DELTA_STAGES = 4


def half_squared_norm(tensors: Iterable[Tensor]) -> Float[Tensor, ""]:
    """1/2 sum ||w||^2 over all tensors, in float32."""
    return 0.5 * torch.stack([tensor.float().square().sum() for tensor in tensors]).sum()


def l2_sp(model: CoTuningModel, strength: float, head_strength: float) -> Part:
    """strength / 2 ||w - w0||^2 over the backbone, head_strength / 2 ||w||^2 over the new head.

    w0 are the backbone's weights now. It takes the place of the optimizer's weight decay.

    Source: Li et al., Explicit Inductive Bias for Transfer Learning with Convolutional Networks,
    ICML 2018, equation 3.
    """
    start = [parameter.detach().clone() for parameter in model.backbone.parameters()]

    def terms(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        moved = (w - w0 for w, w0 in zip(model.backbone.parameters(), start, strict=True))
        return {
            "starting_point": strength * half_squared_norm(moved),
            "head_decay": head_strength * half_squared_norm(model.target_head.parameters()),
        }

    return Part(terms, replaces_weight_decay=True)


def feature_map_distance(
    maps: Sequence[Float[Tensor, "batch _ _ _"]],
    start_maps: Sequence[Float[Tensor, "batch _ _ _"]],
    channel_attention: Sequence[Float[Tensor, " _"]] | None = None,
) -> Float[Tensor, ""]:
    """1/2 sum ||FM - FM0||^2 over layers, samples, channels and places, in float32.

    Args:
        maps, start_maps: [batch, channel, height, width] of each layer; only the batch is the
            same for all layers.
        channel_attention: weights of each layer's channels, summing to 1; a channel then counts
            its weight times the number of channels, divided by the number of places.

    Raises:
        ValueError: the numbers of layers differ.

    Source: Li et al., DELTA, ICLR 2019, equations 4 to 6; scaled as in Transfer-Learning-Library
    (github.com/thuml/Transfer-Learning-Library), over the sum of a batch.
    """
    attentions: Sequence[Tensor | None] = channel_attention or [None] * len(maps)
    distances = []
    for layer, start, attention in zip(maps, start_maps, attentions, strict=True):
        squared = (layer.float() - start.float()).square()
        if attention is not None:
            scale = attention * len(attention) / (layer.shape[2] * layer.shape[3])
            squared = squared * scale[:, None, None]
        distances.append(squared.sum())
    return 0.5 * torch.stack(distances).sum()


def delta(model: CoTuningModel, strength: float, head_strength: float) -> Part:
    """strength times the distance of feature maps to those of the backbone as it is now.

    Compared are the outputs of the last convolution of each of the last four stages. The new
    head is pulled to 0 as in l2_sp; the optimizer's weight decay is replaced.

    Raises:
        ValueError: the backbone has fewer than four stages with convolutions.

    Source: Li et al., DELTA, ICLR 2019, without channel attention.
    """
    start = copy.deepcopy(model.backbone).eval().requires_grad_(False)
    start.to(memory_format=torch.channels_last)
    names = last_convolutions(model.backbone, DELTA_STAGES)
    maps, start_maps = _keep_outputs(model.backbone, names), _keep_outputs(start, names)

    def terms(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        with torch.no_grad():
            start(batch.inputs)
        pairs = [maps[name] for name in names], [start_maps[name] for name in names]
        return {
            "feature_maps": strength * feature_map_distance(*pairs),
            "head_decay": head_strength * half_squared_norm(model.target_head.parameters()),
        }

    return Part(terms, replaces_weight_decay=True, needs_whole_batch=True)


def last_convolutions(network: nn.Module, stages: int) -> list[str]:
    """Names of the last convolution in each of a network's last `stages` stages.

    Stages are the children, at the first depth where at least so many hold convolutions; on the
    way down the child with the most parameters is entered. In a ResNet these are layer1 to
    layer4, so the convolutions are those of the DELTA authors.

    Raises:
        ValueError: there are not so many stages.
    """
    module, prefix = network, ""
    while children := [
        (name, child) for name, child in module.named_children() if _convolutions(child)
    ]:
        if len(children) >= stages:
            return [
                ".".join(filter(None, (prefix + name, _convolutions(child)[-1])))
                for name, child in children[-stages:]
            ]
        name, module = max(children, key=lambda item: _size(item[1]))
        prefix += f"{name}."
    raise ValueError(f"expected {stages} stages with convolutions in {type(network).__name__}")


def smallest_singular_values(
    features: Float[Tensor, "batch feature"], count: int
) -> Float[Tensor, ""]:
    """Sum of the `count` smallest squared singular values of a batch's features, in float32.

    Source: Chen et al., Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage
    for Safe Transfer Learning, NeurIPS 2019, equation 5.
    """
    return torch.linalg.svdvals(features.float())[-count:].square().sum()


def bss(model: CoTuningModel, strength: float, singular_values: int) -> Part:
    """strength times smallest_singular_values of the pooled features."""

    def terms(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        penalty = smallest_singular_values(outputs.features, singular_values)
        return {"spectral_shrinkage": strength * penalty}

    return Part(terms, needs_whole_batch=True)


def stoch_norm(model: CoTuningModel, probability: float) -> Part:
    """Let every batch normalisation of the backbone draw, per channel, which statistics it uses.

    While the model trains, a channel is normalised by the batch with this probability, else by
    the moving statistics of the time before the batch. The layers stay what they were, in
    evaluation and in the state dict; activations that a layer applies itself are kept.

    Source: Kou et al., Stochastic Normalization, NeurIPS 2020, equations 3 to 6.
    """
    for module in model.backbone.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            _make_stochastic(module, probability)
    return Part(needs_whole_batch=True)


def label_smoothing(model: CoTuningModel, smoothing: float) -> Part:
    """The target loss to labels of which the share `smoothing` in [0, 1) goes to all classes alike.

    Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016,
    section 7.
    """
    return Part(label_smoothing=smoothing)


PEERS: Mapping[str, Callable[..., Part]] = {
    "l2-sp": l2_sp,
    "delta": delta,
    "bss": bss,
    "stoch-norm": stoch_norm,
    "label-smoothing": label_smoothing,
    "bi-tuning": bi_tuning,
}


def _make_stochastic(layer: _BatchNorm, probability: float) -> None:
    by_moving: list[Tensor] = []

    def normalise_by_moving_statistics(layer: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        if layer.training:
            layer.eval()
            by_moving.append(layer.forward(*inputs))
            layer.train()
            # The gradient of that pass needs the statistics as they were: the batch moves copies.
            for name in ("running_mean", "running_var"):
                setattr(layer, name, getattr(layer, name).clone())

    def select(layer: nn.Module, inputs: tuple[Tensor, ...], by_batch: Tensor) -> Tensor:
        if not layer.training:
            return by_batch
        channels = by_batch.shape[1]
        chosen = (torch.rand(channels) < probability).to(by_batch.device)
        shape = (channels, *[1] * (by_batch.dim() - 2))
        return torch.where(chosen.view(shape), by_batch, by_moving.pop())

    layer.register_forward_pre_hook(normalise_by_moving_statistics)
    layer.register_forward_hook(select)


def _keep_outputs(network: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
    """The named layers' outputs of the latest pass, by name."""
    latest: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        latest[name] = output

    for name in names:
        network.get_submodule(name).register_forward_hook(functools.partial(keep, name))
    return latest


def _convolutions(module: nn.Module) -> list[str]:
    return [name for name, part in module.named_modules() if isinstance(part, nn.Conv2d)]


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
