"""Sub-words, the words that they are of, and batches of them."""

import pytest
import torch
from tiny_language import VOCABULARY, make_tokenizer

from pipeline.common.errors import UserError
from pipeline.language.batches import TokenSet
from pipeline.language.listing import Sentence
from pipeline.language.tokens import TokenStore, tokenise
from pipeline.language.training_data import training_token_batches

TAGS = ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
SENTENCES = [
    Sentence(("in", "Rome", "it", "rains"), ("O", "B-LOC", "O", "O"), "x.txt", (1,)),
    Sentence(("they", "bought", "Globex", "Corp"), ("O", "O", "B-ORG", "I-ORG"), "x.txt", (6,)),
    # The zero-width space is a word of its own to the file and nothing to the tokenizer.
    Sentence(("\u200b", "Globex"), ("O", "B-ORG"), "x.txt", (11,)),
]


def read(store: TokenStore, part: int) -> list[str]:
    ids = store.sub_words[store.starts[part] : store.starts[part + 1]]
    return [VOCABULARY[number] for number in ids]


@pytest.fixture
def store() -> TokenStore:
    return tokenise(SENTENCES, TAGS, make_tokenizer(), longest=16)


def test_sub_words_are_the_tokenizers_own_and_know_their_words(store):
    tokenizer = make_tokenizer()
    for number, sentence in enumerate(SENTENCES):
        whole = tokenizer(list(sentence.tokens), is_split_into_words=True)
        assert read(store, number) == tokenizer.convert_ids_to_tokens(whole["input_ids"])
    assert store.words.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 1]
    assert store.places.tolist() == [1, 2, 3, 4, 1, 2, 3, 5, 1]
    assert store.lengths.tolist() == [1, 1, 1, 1, 1, 1, 2, 1, 2]
    assert store.labels.tolist() == [0, 1, 0, 0, 0, 0, 3, 4, 3]


def test_a_long_sentence_is_cut_between_words_and_loses_none():
    store = tokenise(SENTENCES, TAGS, make_tokenizer(), longest=8)
    assert len(store.sentences) == 3
    short = tokenise(SENTENCES[1:2] * 2, TAGS, _shortest(make_tokenizer()), longest=5)
    assert [read(short, part) for part in range(2)] == [
        ["[CLS]", "they", "bought", "[SEP]"],
        ["[CLS]", "Glo", "##bex", "Corp", "[SEP]"],
    ]
    assert short.sentences.tolist() == [0, 0, 1, 1]
    assert short.words.tolist() == [0, 1, 2, 3] * 2


def _shortest(tokenizer):
    tokenizer.model_max_length = 5
    return tokenizer


def test_more_sub_words_than_the_model_takes_are_refused():
    with pytest.raises(UserError, match="longest: got 40; this model takes 32 at most"):
        tokenise(SENTENCES, TAGS, make_tokenizer(), longest=40)


def test_the_store_comes_back_as_it_was_saved(store, tmp_path):
    store.save(tmp_path / "tokens.safetensors")
    again = TokenStore.load(tmp_path / "tokens.safetensors")
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(store).items())
    assert store.parts_of(torch.tensor([2, 0])).tolist() == [0, 2]


def test_a_batch_is_filled_up_to_its_longest_and_points_at_first_sub_words(store):
    inputs, labels = TokenSet(store, torch.tensor([2, 1]), pad=0).inputs()
    assert inputs.input_ids.shape == (2, 7)
    assert inputs.attention_mask.sum(dim=1).tolist() == [4, 7]
    chosen = [VOCABULARY[number] for number in inputs.input_ids.flatten()[inputs.places]]
    assert chosen == ["Glo", "they", "bought", "Glo", "Corp"]
    assert labels.tolist() == [3, 0, 0, 3, 4]
    assert inputs.taught.tolist() == [0, 3, 4]


def many(count: int = 403) -> TokenSet:
    sentences = [
        Sentence(("Rome",) * (1 + number * 7 % 12), ("B-LOC",) * (1 + number * 7 % 12), "x", (1,))
        for number in range(count)
    ]
    store = tokenise(sentences, TAGS, make_tokenizer(), longest=16)
    return TokenSet(store, torch.arange(count), pad=0)


def batches(tokens, size, seed, share=slice):
    generator = torch.Generator().manual_seed(seed)
    return list(training_token_batches(tokens, size, generator, torch.device("cpu"), share))


def test_a_pass_has_each_sentence_once_in_batches_of_like_length():
    tokens = many()
    found = batches(tokens, 8, 0)
    rows = torch.cat([batch.rows for batch in found])
    assert len(found) == 50
    assert len(rows) == len(rows.unique()) == 400
    filled = sum(batch.inputs.input_ids.numel() for batch in found)
    sub_words = sum(int(batch.inputs.attention_mask.sum()) for batch in found)
    assert sub_words / filled > 0.95
    longest = [batch.inputs.input_ids.shape[1] for batch in found]
    assert longest != sorted(longest)
    assert [batch.size for batch in found] == [8] * 50
    assert len(batches(many(5), 8, 0)) == 1


def first_half(length):
    return slice(0, length // 2)


def second_half(length):
    return slice(length // 2, length)


def test_the_seed_decides_the_batches_and_processes_share_them():
    tokens = many()
    first, same, other = (batches(tokens, 8, seed) for seed in (3, 3, 4))
    assert all(torch.equal(a.rows, b.rows) for a, b in zip(first, same, strict=True))
    assert not all(torch.equal(a.rows, b.rows) for a, b in zip(first, other, strict=True))
    halves = [batches(tokens, 8, 3, half) for half in (first_half, second_half)]
    for whole, *parts in zip(first, *halves, strict=True):
        assert torch.equal(torch.cat([part.rows for part in parts]), whole.rows)
