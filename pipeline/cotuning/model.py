"""The network of Co-Tuning: one backbone, the kept source head, the new target head."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Outputs(NamedTuple):
    """What one pass gives.

    Attributes:
        features: pooled features, [batch, feature].
        target_logits: [batch, target].
        source_logits: [batch, source], or None where the source head was not asked for.
    """

    features: Tensor
    target_logits: Tensor
    source_logits: Tensor | None


class CoTuningModel(nn.Module):
    """A backbone with two heads on the same pooled feature.

    Args:
        backbone: images [batch, channel, height, width] to features [batch, feature].
        source_head: the pre-trained classifier, features to source logits [batch, source].
        feature_size: of the backbone's output.
        target_classes: of the new task; its head starts at weight ~ N(0, 0.01), bias 0.

    Source: You et al., NeurIPS 2020, figure 1; the initialisation is that of
    github.com/thuml/CoTuning.
    """

    def __init__(
        self, backbone: nn.Module, source_head: nn.Module, feature_size: int, target_classes: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.source_head = source_head
        self.target_head = nn.Linear(feature_size, target_classes)
        nn.init.normal_(self.target_head.weight, std=0.01)
        nn.init.zeros_(self.target_head.bias)

    def forward(
        self, images: Float[Tensor, "batch channel height width"], with_source: bool = True
    ) -> Outputs:
        """One pass through the backbone serves both heads."""
        features = self.backbone(images)
        source_logits = self.source_head(features) if with_source else None
        return Outputs(features, self.target_head(features), source_logits)

    def keep_statistics(self) -> None:
        """Let batch normalisation go by its moving statistics, and leave them, until train()."""
        for layer in self.modules():
            if isinstance(layer, _BatchNorm):
                layer.eval()

    def deploy(self) -> nn.Sequential:
        """The network for inference, images to target logits: the source head costs nothing."""
        return nn.Sequential(self.backbone, self.target_head)

    def source_network(self) -> nn.Sequential:
        """Images to source logits, through the backbone and the source head as they are now."""
        return nn.Sequential(self.backbone, self.source_head)

    def parameter_groups(
        self, learning_rate: float, target_head_factor: float = 10.0
    ) -> list[dict[str, object]]:
        """Optimizer groups: the new head learns target_head_factor times faster than the rest.

        Source: github.com/thuml/CoTuning uses the factor 10.
        """
        pretrained = [*self.backbone.parameters(), *self.source_head.parameters()]
        return [
            {"params": pretrained, "lr": learning_rate},
            {
                "params": list(self.target_head.parameters()),
                "lr": learning_rate * target_head_factor,
            },
        ]
