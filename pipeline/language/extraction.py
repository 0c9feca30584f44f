"""What the source model makes of entities: the states that its head predicts words from.

The head gives tens of thousands of numbers a word; the state that they are made of is some
hundreds, from which any stage makes them again, a few words at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.language.batches import TokenSet
from pipeline.language.inputs import TokenInputs
from pipeline.language.tag_schemes import type_labels
from pipeline.training.compute import Compute
from pipeline.training.inference import predict

Observed = Literal["kept", "masked"]
FEWEST_WORDS = 50  # of a type, where it has as many


@dataclass(frozen=True)
class EntityStates:
    """States [entity word, feature] in float32, types [entity word], places in the store."""

    states: Tensor
    types: Tensor
    words: Tensor


@dataclass(frozen=True)
class MaskedWords:
    """States [word, feature] at masked words, and the sub-word [word] that stood there."""

    states: Tensor
    sub_words: Tensor


def entity_states(
    backbone: nn.Module,
    tokens: TokenSet,
    observed: Observed,
    mask: int,
    batch_size: int,
    compute: Compute,
    on_batch: Callable[[int], None] = lambda words: None,
) -> EntityStates:
    """Of every word of an entity, first sub-word.

    Args:
        observed: kept, as in training: the sentence as it is; or masked: of each word once, with
            all of its own sub-words, and no others, masked.
        mask: the sub-word that masks.
    """
    words = tokens.word_places[tokens.labels > 0]
    if observed == "masked":
        states = states_at_masked(backbone, tokens, words, mask, batch_size, compute, on_batch)
    else:
        states = states_at_kept(backbone, tokens, words, batch_size, compute, on_batch)
    return EntityStates(states, type_labels(tokens.store.labels[words]), words)


def some_masked_words(
    backbone: nn.Module,
    tokens: TokenSet,
    most: int,
    mask: int,
    batch_size: int,
    compute: Compute,
    on_batch: Callable[[int], None] = lambda words: None,
) -> MaskedWords:
    """Of at most so many words, evenly spread over the parts, each masked alone."""
    every = tokens.word_places
    words = every[spread(len(every), most)]
    states = states_at_masked(backbone, tokens, words, mask, batch_size, compute, on_batch)
    return MaskedWords(states, tokens.store.sub_words[_first_sub_words(tokens, words)].long())


def states_at_kept(
    backbone: nn.Module,
    tokens: TokenSet,
    words: Tensor,
    batch_size: int,
    compute: Compute,
    on_batch: Callable[[int], None] = lambda words: None,
) -> Tensor:
    """States [word, feature] of words of these parts, by their places in the store, in the order
    of the parts; the sentences are as they are.
    """
    return predict(backbone, _kept(tokens, words, batch_size, compute), compute, on_batch)[0]


def states_at_masked(
    backbone: nn.Module,
    tokens: TokenSet,
    words: Tensor,
    mask: int,
    batch_size: int,
    compute: Compute,
    on_batch: Callable[[int], None],
) -> Tensor:
    """States [word, feature] of words, by their places in the store, each masked alone."""
    store = tokens.store
    batches = (
        (_masked(tokens, chosen, mask).to(compute.device), store.labels[chosen])
        for chosen in words.split(batch_size)
    )
    return predict(backbone, batches, compute, on_batch)[0]


def _kept(
    tokens: TokenSet, words: Tensor, batch_size: int, compute: Compute
) -> Iterator[tuple[TokenInputs, Tensor]]:
    for places in torch.arange(len(tokens)).split(batch_size):
        part = tokens.part(places)
        chosen = torch.isin(part.word_places, words)
        if chosen.any():
            inputs, labels = part.inputs()
            inputs = inputs._replace(places=inputs.places[chosen])
            yield inputs.to(compute.device), labels[chosen]


def spread(size: int, most: int) -> Tensor:
    """So many places from 0 to before `size` at most, evenly spread."""
    return torch.linspace(0, size - 1, min(most, size)).round().long()


def evenly_spread(groups: Tensor, most: int) -> Tensor:
    """Places of about so many samples at most, of each group its share, evenly spread, and
    FEWEST_WORDS at least where it has them; in rising order.

    Args:
        groups: of each sample.
    """
    if len(groups) <= most:
        return torch.arange(len(groups))
    chosen = []
    for name in groups.unique():
        own = torch.nonzero(groups == name)[:, 0]
        count = max(round(most * len(own) / len(groups)), min(FEWEST_WORDS, len(own)))
        chosen.append(own[spread(len(own), count)])
    return torch.cat(chosen).sort().values


def _masked(tokens: TokenSet, words: Tensor, mask: int) -> TokenInputs:
    """The part of each word, in which the word is masked."""
    store, rows = tokens.store, torch.arange(len(words))
    inputs, _ = TokenSet(store, store.parts_of_words(words), tokens.pad).inputs()
    length = inputs.input_ids.shape[1]
    places = store.places[words].long()
    columns = torch.arange(length)
    own = (columns >= places[:, None]) & (columns < (places + store.lengths[words])[:, None])
    return inputs._replace(
        input_ids=inputs.input_ids.masked_fill(own, mask),
        places=rows * length + places,
        taught=rows,
    )


def _first_sub_words(tokens: TokenSet, words: Tensor) -> Tensor:
    """Where in the store each word's first sub-word is."""
    store = tokens.store
    return store.starts[store.parts_of_words(words)] + store.places[words]
