"""What a fine-tuned network says of every word, and the tags of whole sentences."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from pipeline.language.batches import TokenSet, evaluation_token_batches
from pipeline.language.tag_schemes import OUTSIDE
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
    ordered = tokens.part(tokens.lengths.argsort(stable=True))
    batches = evaluation_token_batches(ordered, batch_size, compute.device)
    logits, _ = predict(network, batches, compute, on_batch)
    by_place = logits[ordered.word_places.argsort()]
    return by_place[tokens.word_places.argsort().argsort()]


def tags_of_sentences(
    tokens: TokenSet, labels: Tensor, tags: Sequence[str], lengths: Sequence[int]
) -> list[list[str]]:
    """The tags of each sentence of these parts, in the sentences' order.

    A word that the tokenizer made nothing of is outside of all entities.

    Args:
        labels: of the words of the parts, [word]; the parts of a sentence follow each other.
        tags: in label order.
        lengths: in words, of the sentences in the order of their first part.
    """
    store, places = tokens.store, tokens.word_places
    sentences = list(dict.fromkeys(store.sentences[tokens.parts].tolist()))
    found = {number: [OUTSIDE] * length for number, length in zip(sentences, lengths, strict=True)}
    words = store.words[places].tolist()
    owners = tokens.word_sentences.tolist()
    for owner, word, label in zip(owners, words, labels.tolist(), strict=True):
        found[owner][word] = tags[label]
    return [found[number] for number in sentences]
