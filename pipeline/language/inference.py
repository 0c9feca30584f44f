"""What a fine-tuned network says of every word."""

from collections.abc import Callable

from torch import Tensor, nn

from pipeline.language.batches import TokenSet, ask_by_length, evaluation_token_batches
from pipeline.training.compute import Compute
from pipeline.training.inference import predict


def predict_words(
    network: nn.Module,
    tokens: TokenSet,
    batch_size: int,
    compute: Compute,
    on_batch: Callable[[int], None] = lambda words: None,
) -> Tensor:
    """Logits [word, tag] of all words of the parts, in their order, on the CPU.

    Parts of like length enter together.
    """

    def ask(ordered: TokenSet) -> Tensor:
        batches = evaluation_token_batches(ordered, batch_size, compute.device)
        return predict(network, batches, compute, on_batch)[0]

    return ask_by_length(tokens, ask)
