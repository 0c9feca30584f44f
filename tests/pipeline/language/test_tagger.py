"""Taggers as transformers has them, of every family that has one of the same parts."""

import json
from pathlib import Path

import pytest
import torch
from tiny_language import FAMILIES, make_tokenizer, save_model

from pipeline.common.errors import UserError
from pipeline.language.batches import TokenSet
from pipeline.language.listing import Sentence
from pipeline.language.source import load_language_model
from pipeline.language.tagger import largest_difference, save_token_classifier
from pipeline.language.tokens import tokenise

TAGS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
WITH_MORE = "ModernBert"  # has a hidden layer before its classifier, which was not trained here
TEXTS = ("in Rome it rains", "Ann Smith sleeps", "they bought Globex Corp Acme")
SENTENCES = [Sentence(tuple(text.split()), ("O",) * len(text.split()), "a", (1,)) for text in TEXTS]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_probabilities_are_the_networks_own(tmp_path: Path, family: str) -> None:
    name = save_model(tmp_path / "model", family)
    model = load_language_model(name).new_model(len(TAGS), seed=0)
    torch.nn.init.normal_(model.target_head.weight)
    store = tokenise(SENTENCES, TAGS, make_tokenizer(), 16)
    tokens = TokenSet(store, torch.arange(len(SENTENCES)), 0)
    folder = tmp_path / "saved"
    save_token_classifier(model, name, TAGS, folder)
    if family == WITH_MORE:
        assert largest_difference(model.deploy(), folder, tokens) > 0.01
        return
    assert largest_difference(model.deploy(), folder, tokens) < 1e-5
    with torch.no_grad():
        model.target_head.weight.neg_()
    assert largest_difference(model.deploy(), folder, tokens) > 0.1


def test_a_family_without_a_tagger_is_named(tmp_path: Path) -> None:
    name = save_model(tmp_path / "model")
    model = load_language_model(name).new_model(len(TAGS), seed=0)
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps(config | {"hidden_size": 24}))
    with pytest.raises(UserError, match=r"no token classifier for hf:.* whose parts are these"):
        save_token_classifier(model, name, TAGS, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
