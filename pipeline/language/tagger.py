"""A fine-tuned network that tags words: from the artifacts, and as transformers has one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.common.errors import UserError, one_line
from pipeline.language.artifacts import TextStore
from pipeline.language.batches import TokenSet
from pipeline.language.inputs import classifier_logits
from pipeline.language.model import TokenModel
from pipeline.language.source import EXTRA, load_language_model, load_tokenizer
from pipeline.params import LanguageParams
from pipeline.sources.transformers_library import load_transformers

# Lines of Python that load what save_token_classifier wrote, for its card.
LOADING = """\
import transformers

tag = transformers.pipeline("token-classification", model=".", aggregation_strategy="first")
for entity in tag("Ann Smith sleeps in Rome"):
    print(entity["entity_group"], entity["word"], entity["score"])
"""


def load_tagger(store: TextStore, params: LanguageParams, method: str, tags: int) -> TokenModel:
    """What a method trained, to tell so many tags apart.

    Raises:
        UserError: it is missing, or does not fit the source model of params.yaml.
    """
    store.require("fine-tune", method, "model.safetensors")
    name = params.source_model.name
    model = load_language_model(name).new_model(tags, params.sample_seed)
    store.load_model(method, model, f"{tags} tags on {name}")
    return model


def save_token_classifier(model: TokenModel, name: str, tags: Sequence[str], folder: Path) -> None:
    """Write the network as one of AutoModelForTokenClassification, with its tokenizer.

    Args:
        name: of the source model, hf:<name or folder>.
        tags: in label order.

    Raises:
        UserError: its family has no such model, or one that is no linear layer on its states.
    """
    transformers = load_transformers(EXTRA)
    labels = dict(enumerate(tags))
    try:
        place = name.removeprefix("hf:")
        config = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
        config.id2label, config.label2id = labels, {tag: label for label, tag in labels.items()}
        classifier = transformers.AutoModelForTokenClassification.from_config(config)
        backbone: Any = model.backbone
        classifier.base_model.load_state_dict(backbone.base.state_dict())
        classifier.classifier.load_state_dict(model.target_head.state_dict())
    except (AttributeError, RuntimeError, ValueError) as error:
        raise UserError(
            f"transformers has no token classifier for {name} whose parts are these "
            f"({one_line(error)[:160]}); `cot predict` needs none"
        ) from None
    classifier.save_pretrained(folder)
    load_tokenizer(name).save_pretrained(folder)


@torch.inference_mode()
def largest_difference(network: nn.Module, folder: Path, tokens: TokenSet) -> float:
    """Of any probability of a tag, between a network and what save_token_classifier wrote.

    Args:
        network: TokenInputs to target logits [word, tag], on the CPU.
        tokens: parts of sentences to compare on, as one batch.
    """
    transformers = load_transformers(EXTRA)
    classifier = transformers.AutoModelForTokenClassification.from_pretrained(
        folder, trust_remote_code=False
    ).eval()
    inputs, _ = tokens.inputs()
    found = classifier_logits(classifier, inputs).softmax(dim=1)
    expected = network.eval()(inputs).softmax(dim=1)
    return float((found - expected).abs().max())
