"""What enters a network of text, and what a token classifier of transformers says of its words."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class TokenInputs(NamedTuple):
    """Sentences, or parts of them, as they enter the network.

    Attributes:
        input_ids: sub-words, [sentence, length].
        attention_mask: 1 where there is one, 0 where a shorter sentence is filled up.
        places: of the words whose states are features, [word]: sentence * length + the place of
            the first sub-word.
        taught: which of these words the source head runs on, [taught]: those of entities.
    """

    input_ids: Tensor
    attention_mask: Tensor
    places: Tensor
    taught: Tensor

    def to(self, device: torch.device) -> "TokenInputs":
        return TokenInputs(*(part.to(device, non_blocking=True) for part in self))


@torch.inference_mode()
def classifier_logits(classifier: Any, inputs: TokenInputs) -> Tensor:
    """Logits [word, tag] in float32 of the words at `places`.

    Args:
        classifier: of AutoModelForTokenClassification, in evaluation mode.
    """
    logits = classifier(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask).logits
    found: Tensor = logits.flatten(0, 1)[inputs.places].float()
    return found
