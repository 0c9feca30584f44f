"""Masked language models of transformers as source models, from a local folder or its hub."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pipeline.common.errors import UserError
from pipeline.language.model import GivenStates, MaskedLanguageHead, TokenModel, WordStates
from pipeline.sources.hub import require_on_hub
from pipeline.sources.transformers_library import load_transformers, not_loaded

# Where a family keeps the dropout before its classifier of tokens; the first that is set.
DROPOUTS = ("classifier_dropout", "classifier_dropout_prob", "hidden_dropout_prob", "dropout")
EXTRA = "language"
HEAD_SCALE = 0.02  # where a family names none


@dataclass(frozen=True)
class LanguageSource:
    """A masked language model, cut in two: head(states of the base) is the whole model's output.

    Attributes:
        backbone: TokenInputs to features [word, feature_size].
        head: features to source logits [word, source].
        categories: the sub-words of the vocabulary, as they are read, in the order of the logits.
        head_scale: standard deviation with which the family starts a new head.
        is_tied: the head decodes by the very weights that embed the sub-words.
    """

    backbone: nn.Module
    head: nn.Module
    feature_size: int
    categories: tuple[str, ...]
    head_scale: float
    is_tied: bool

    def new_model(self, tags: int, seed: int) -> TokenModel:
        """A model ready to fine-tune: copies of both parts, and a new, seeded head for the tags.

        Weights that the head shares with the embeddings are shared no longer: what teaches the head
        does not pull at the embeddings but through the states, and a frozen head leaves them free.
        So it is in the authors' code, whose model ties none.
        """
        torch.manual_seed(seed)
        return TokenModel(
            copy.deepcopy(self.backbone),
            copy.deepcopy(self.head),
            self.feature_size,
            tags,
            self.head_scale,
        )


def load_language_model(name: str) -> LanguageSource:
    """Load and cut a masked language model.

    Args:
        name: hf:<name or folder>.

    Raises:
        UserError: there is no such model, it was trained without a masked language head, or it does
            more around its base than hand states to its head.
    """
    place, transformers = name.removeprefix("hf:"), load_transformers(EXTRA)
    try:
        require_on_hub(place, "config.json")
        model, found = transformers.AutoModelForMaskedLM.from_pretrained(
            place, output_loading_info=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise not_loaded(name, error) from None
    if missing := sorted(found["missing_keys"]):
        raise UserError(
            f"source_model: {name} brings no weights of {missing[0]}: it was trained or saved "
            "without a masked language head, whose words are the source categories; choose another"
        )
    tokenizer = load_tokenizer(name)
    return cut_language_model(model.eval(), name, vocabulary(tokenizer, model.config.vocab_size))


def cut_language_model(model: Any, name: str, categories: Sequence[str]) -> LanguageSource:
    """Cut a model of AutoModelForMaskedLM, in place, between its base and its head.

    Raises:
        UserError: head and base together do not give what the model does, bit for bit.
    """
    config, prefix = model.config, model.base_model_prefix
    base = getattr(model, prefix)
    decoder, embedding = model.get_output_embeddings(), base.get_input_embeddings()
    is_tied = decoder is not None and decoder.weight is embedding.weight
    sub_words = torch.arange(min(8, config.vocab_size))[None]
    reads_embeddings = not getattr(config, "legacy", True)
    with torch.inference_mode():
        expected = model(input_ids=sub_words).logits[0]
        states = base(input_ids=sub_words)[0][0]
        setattr(model, prefix, GivenStates(base.embeddings if reads_embeddings else None))
        head = MaskedLanguageHead(model)
        if not torch.equal(head(states), expected):
            raise UserError(
                f"source_model: {name} does more than hand its last states to its head; choose "
                "another model"
            )
    given = (getattr(config, dropout, None) for dropout in DROPOUTS)
    return LanguageSource(
        WordStates(base, next((one for one in given if one is not None), 0.0)),
        head,
        states.shape[-1],
        tuple(categories),
        getattr(config, "initializer_range", HEAD_SCALE),
        is_tied,
    )


def load_tokenizer(name: str) -> Any:
    """The model's own, which tells which sub-word is of which word.

    Raises:
        UserError: there is none, or it cannot tell.
    """
    place = name.removeprefix("hf:")
    try:
        require_on_hub(place, "config.json")
        # Of those that tell a word's beginning by the space before it; others take no notice.
        tokenizer = load_transformers(EXTRA).AutoTokenizer.from_pretrained(
            place, add_prefix_space=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise not_loaded(name, error) from None
    if not tokenizer.is_fast:
        raise UserError(
            f"source_model: the tokenizer of {name} does not tell which word a sub-word is of; "
            "choose a model with a tokenizer.json"
        )
    return tokenizer


def vocabulary(tokenizer: Any, size: int) -> tuple[str, ...]:
    """The sub-words as they are read, without a family's sign for the space before a word."""
    known = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
    signs = ("Ġ", "▁")  # of byte-level and of sentence-piece vocabularies
    read = [token.lstrip("".join(signs)) or token for token in known]
    return tuple(read) + tuple(f"unused {number}" for number in range(len(read), size))
