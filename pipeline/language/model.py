"""The network of Co-Tuning on text: heads on the states of words, the source head on those of
entities alone.
"""

from typing import Any

from torch import Tensor, nn

from pipeline.cotuning.model import CoTuningModel, Outputs
from pipeline.language.inputs import TokenInputs


class WordStates(nn.Module):
    """Sentences to the last hidden states of their words' first sub-words, with dropout.

    Args:
        base: a model of transformers without its head.
        dropout: probability, as before the classifier of the model's family.
    """

    def __init__(self, base: nn.Module, dropout: float) -> None:
        super().__init__()
        self.base = base
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: TokenInputs) -> Tensor:
        """Features [word, feature] of the words at `places`."""
        states: Tensor = self.base(
            input_ids=inputs.input_ids, attention_mask=inputs.attention_mask
        )[0]
        dropped: Tensor = self.dropout(states.flatten(0, 1)[inputs.places])
        return dropped


class GivenStates(nn.Module):
    """In the place of a model's base: the states are given as what would be embedded.

    Args:
        embeddings: of the base, where the head reads them there.
    """

    def __init__(self, embeddings: nn.Module | None = None) -> None:
        super().__init__()
        if embeddings is not None:
            self.embeddings = embeddings

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Any:
        # Here: the room is imported without transformers too.
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=inputs_embeds)


class MaskedLanguageHead(nn.Module):
    """The head of a masked language model, whole: all that its family does after the base.

    Args:
        model: of AutoModelForMaskedLM, with GivenStates in its base's place.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """Source logits [word, source] of last hidden states [word, feature]."""
        logits: Tensor = self.model(inputs_embeds=features[None]).logits[0]
        return logits


class TokenModel(CoTuningModel):
    """A CoTuningModel of words.

    Args:
        head_scale: standard deviation of the new head's weights at the start, as of the family.
    """

    def __init__(
        self,
        backbone: nn.Module,
        source_head: nn.Module,
        feature_size: int,
        target_classes: int,
        head_scale: float,
    ) -> None:
        super().__init__(backbone, source_head, feature_size, target_classes)
        nn.init.normal_(self.target_head.weight, std=head_scale)

    def forward(self, inputs: TokenInputs, with_source: bool = True) -> Outputs:  # type: ignore[override]
        """One pass serves both heads; source logits [taught, source] are of `taught` alone."""
        features = self.backbone(inputs)
        source_logits = self.source_head(features[inputs.taught]) if with_source else None
        return Outputs(features, self.target_head(features), source_logits)
