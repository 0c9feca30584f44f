"""The recipe of a small masked language model: what is masked, and that it goes on after a kill."""

import importlib.util
import random
from pathlib import Path

import pytest
import torch
from tiny_language import draw_sentence

from pipeline.language.source import load_language_model

RECIPE = Path(__file__).parents[2] / "experiments/language"


def load(name):
    specification = importlib.util.spec_from_file_location(name, RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


PRETRAIN = load("pretrain")
TINY = PRETRAIN.Pretrain(
    seed=1, vocabulary=300, layers=1, width=16, heads=2, length=12, batch_size=4, steps=6,
    checkpoint_every=2, learning_rate=0.01, warmup=0.2, weight_decay=0.01, masked=0.15,
)  # fmt: skip


@pytest.fixture(scope="module")
def text():
    rng = random.Random(0)
    lines = [" ".join(word for word, _ in draw_sentence(rng)) for _ in range(200)]
    tokenizer = PRETRAIN.make_tokenizer(lines, TINY)
    return tokenizer, PRETRAIN.pieces_of_text(lines, tokenizer, TINY.length)


def test_of_the_masked_sub_words_most_are_hidden_some_changed_some_kept():
    pieces = torch.randint(5, 1000, (400, 64))
    pieces[:, 0] = 2
    generator = torch.Generator().manual_seed(0)
    inputs, labels = PRETRAIN.mask(pieces, 0.15, 4, 1000, generator)
    chosen = labels != PRETRAIN.IGNORED
    assert not chosen[:, 0].any()
    assert chosen[:, 1:].float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert labels[chosen].equal(pieces[chosen])
    assert inputs[~chosen].equal(pieces[~chosen])
    hidden = (inputs[chosen] == 4).float().mean().item()
    kept = (inputs[chosen] == pieces[chosen]).float().mean().item()
    assert (hidden, kept) == (pytest.approx(0.8, abs=0.03), pytest.approx(0.1, abs=0.03))


def test_a_stopped_run_goes_on_as_it_would_have(text, tmp_path, monkeypatch):
    tokenizer, pieces = text
    given = pieces, tokenizer.mask_token_id, TINY
    whole = PRETRAIN.new_model(TINY, len(tokenizer))
    PRETRAIN.train(whole, *given, tmp_path / "whole.pt")
    stopped = PRETRAIN.new_model(TINY, len(tokenizer))
    steps = iter(range(4))  # the fifth is not reached

    def loss(*arguments):
        next(steps)
        return own(*arguments)

    own = PRETRAIN.predicted_loss
    monkeypatch.setattr(PRETRAIN, "predicted_loss", loss)
    with pytest.raises(StopIteration):
        PRETRAIN.train(stopped, *given, tmp_path / "stopped.pt")
    monkeypatch.setattr(PRETRAIN, "predicted_loss", own)
    resumed = PRETRAIN.new_model(TINY, len(tokenizer))
    PRETRAIN.train(resumed, *given, tmp_path / "stopped.pt")
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)


def test_what_it_makes_is_a_source_model(text, tmp_path):
    tokenizer, _ = text
    PRETRAIN.new_model(TINY, len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    source = load_language_model(f"hf:{tmp_path}")
    assert {"Rome", "Smith"} <= set(source.categories)
    assert source.feature_size == TINY.width


def test_paragraphs_are_whole_and_without_the_marks_of_a_dictionary():
    entry = """\
Coagulated \\Co*ag"u*la`ted\\, a.
   Changed into, or contained in, a coagulum or a curdlike mass;
   {curdled}. [Obs.] --Shak.
   [1913 Webster]

   Short one.
"""
    expected = (
        "Coagulated , a. Changed into, or contained in, a coagulum or a curdlike mass; curdled ."
    )
    assert list(load("corpus").paragraphs(entry)) == [expected]
