"""Masked language models cut into states and head, of every family, from local folders."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_language import FAMILIES, VOCABULARY, make_model, make_tokenizer, save_model

from pipeline.common.errors import UserError
from pipeline.language.inputs import TokenInputs
from pipeline.language.source import cut_language_model, load_language_model, vocabulary

LENGTHS = (9, 6)


def sub_words() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, len(VOCABULARY), (2, max(LENGTHS)), generator=generator)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    return ids * mask, mask


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_the_heads_logits_are_those_of_the_library_bit_for_bit(tmp_path: Path, family: str) -> None:
    source = load_language_model(save_model(tmp_path, family))
    own: Any = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    ids, mask = sub_words()
    expected = own(input_ids=ids, attention_mask=mask).logits
    every = torch.arange(ids.numel())
    states = source.backbone.eval()(TokenInputs(ids, mask, every, every))
    assert states.shape == (ids.numel(), source.feature_size)
    whole = source.head.model(inputs_embeds=states.reshape(*ids.shape, -1)).logits  # type: ignore
    assert torch.equal(whole, expected)
    # A few words of one sentence by themselves, as in training.
    places = torch.tensor([1, 4, 5])
    words = source.head(source.backbone(TokenInputs(ids[:1], mask[:1], places, places)))
    torch.testing.assert_close(words, expected[0, places], rtol=1e-5, atol=1e-5)
    assert source.categories == VOCABULARY
    model = source.new_model(5, 0).eval()
    outputs = model(TokenInputs(ids, mask, every, every))
    assert torch.equal(outputs.source_logits, source.head(states))


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert", "ModernBert"])
def test_weights_that_head_and_embeddings_share_are_shared_no_longer(family: str) -> None:
    source = cut_language_model(make_model(family), "hf:tiny", VOCABULARY)
    assert source.is_tied
    model = source.new_model(3, 0)
    parts = ({id(one) for one in part.parameters()} for part in (model.source_head, model.backbone))
    assert not set.intersection(*parts)
    model.source_head.requires_grad_(False)
    assert all(parameter.requires_grad for parameter in model.backbone.parameters())
    ids, mask = sub_words()
    model.source_head.requires_grad_(True)
    outputs = model.eval()(TokenInputs(ids, mask, torch.arange(4), torch.arange(4)))
    outputs.source_logits.square().sum().backward()
    embeddings = source_embeddings(model.backbone)
    never_seen = [word for word in range(len(VOCABULARY)) if word not in ids]
    # Through the states alone: the decoder's own gradient would reach every word.
    assert not embeddings.weight.grad[never_seen].any()
    assert embeddings.weight.grad.any()


def source_embeddings(backbone: Any) -> Any:
    return backbone.base.get_input_embeddings()


def test_a_new_model_shares_nothing_with_the_source_and_its_head_sees_entities_alone() -> None:
    source = cut_language_model(make_model(), "hf:tiny", VOCABULARY)
    model = source.new_model(3, 0).eval()
    own = {id(one) for part in (source.backbone, source.head) for one in part.parameters()}
    assert not own & {id(one) for one in model.parameters()}
    seen: list[int] = []
    model.source_head.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    ids, mask = sub_words()
    inputs = TokenInputs(ids, mask, torch.arange(6), torch.tensor([1, 4]))
    outputs = model(inputs)
    assert seen == [2]
    assert outputs.source_logits.equal(model.source_head(outputs.features[[1, 4]]))
    assert model(inputs, with_source=False).source_logits is None
    assert len(seen) == 2


def test_a_new_head_starts_as_those_of_its_family_and_by_its_seed() -> None:
    source = cut_language_model(make_model(), "hf:tiny", VOCABULARY)
    first, same, other = (source.new_model(400, seed) for seed in (1, 1, 2))
    assert torch.equal(first.target_head.weight, same.target_head.weight)
    assert not torch.equal(first.target_head.weight, other.target_head.weight)
    assert float(first.target_head.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_a_model_without_a_masked_language_head_is_refused(tmp_path: Path) -> None:
    make_model().bert.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"brings no weights of cls.*without a masked"):
        load_language_model(f"hf:{tmp_path}")


def test_a_folder_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"could not be loaded: .*give its folder") as caught:
        load_language_model(f"hf:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_sub_words_are_named_as_they_are_read() -> None:
    class Known:
        def __len__(self) -> int:
            return 3

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return ["ĠLondon", "▁Rome", "Ġ"][: len(ids)]

    assert vocabulary(Known(), 4) == ("London", "Rome", "Ġ", "unused 3")
