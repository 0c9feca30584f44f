"""The loss of text, against the formula of the paper's authors on whole sentences."""

import pytest
import torch
from tiny_language import VOCABULARY, make_model, make_tokenizer
from torch import Tensor

from pipeline.cotuning.model import Outputs
from pipeline.cotuning.objectives import Batch
from pipeline.language.batches import TokenSet
from pipeline.language.inputs import TokenInputs
from pipeline.language.listing import Sentence
from pipeline.language.source import cut_language_model
from pipeline.language.teaching import compose_text_method, entity_co_tuning
from pipeline.language.tokens import tokenise

TAGS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
SENTENCES = [
    Sentence(("in", "Rome", "Paris", "rains"), ("O", "B-LOC", "I-LOC", "O"), "x", (1,)),
    Sentence(("Ann", "Globex"), ("B-PER", "I-PER"), "x", (1,)),
    Sentence(("it", "rains"), ("O", "O"), "x", (1,)),
]
UNLABELLED = -100


def authors_loss(
    target_logits: Tensor,
    source_logits: Tensor,
    mask: Tensor,
    labels: Tensor,
    rows: Tensor,
    weight: float,
) -> Tensor:
    """Of [sentence, length, ...]; sub-words without a label have -100.

    Cross-entropy over all labelled places; and, over the places whose label is above 0, minus the
    sum over words of the row of the label's type times the logarithm of the head's softmax.
    """
    target = torch.nn.CrossEntropyLoss()(target_logits.flatten(0, 1), labels.flatten())
    entity = (mask == 1) & (labels > 0)
    kinds = torch.div(labels[entity] - 1, 2, rounding_mode="trunc")
    predicted = torch.softmax(source_logits, dim=-1)[entity]
    taught = (-rows[kinds] * torch.log(predicted)).sum(dim=-1).mean() if entity.any() else 0.0
    return target + weight * taught


def batch_of(numbers: list[int]) -> tuple[Batch, Tensor]:
    """A batch, and labels at every sub-word."""
    store = tokenise(SENTENCES, TAGS, make_tokenizer(), 16)
    tokens = TokenSet(store, torch.tensor(numbers), pad=0)
    inputs, labels = tokens.inputs()
    at_all = torch.full_like(inputs.input_ids, UNLABELLED).flatten()
    at_all[inputs.places] = labels
    return Batch(inputs, labels, tokens.parts), at_all.reshape(inputs.input_ids.shape)


@pytest.mark.parametrize("numbers", [[0, 1, 2], [1], [2], [2, 0]])
def test_the_loss_is_the_authors_on_whole_sentences(numbers: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(2, len(VOCABULARY), generator=generator).softmax(dim=1)
    source = cut_language_model(make_model(), "hf:tiny", VOCABULARY)
    model = source.new_model(len(TAGS), 0).eval()  # without dropout, which draws by shape
    batch, labels = batch_of(numbers)
    terms = compose_text_method("co-tuning", model, rows, 0.7, 1.0)(model, batch)
    ids, mask = batch.inputs.input_ids, batch.inputs.attention_mask
    every = torch.arange(ids.numel())
    whole = model(TokenInputs(ids, mask, every, every))
    both = whole.target_logits, whole.source_logits
    target, words = (part.reshape(*ids.shape, -1) for part in both)
    expected = authors_loss(target, words, mask, labels, rows, 0.7)
    assert sum(terms.values()).item() == pytest.approx(expected.item(), abs=1e-6)
    gradients, reference = (
        torch.autograd.grad(loss, model.backbone.parameters(), allow_unused=True)
        for loss in (sum(terms.values()), expected)
    )
    for one, other in zip(gradients, reference, strict=True):
        if other is not None and other.any():
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_random_logits_give_the_authors_source_loss() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 9, (40,), generator=generator)
    logits = 3 * torch.randn(40, 50, generator=generator)
    rows = torch.rand(4, 50, generator=generator).softmax(dim=1)
    taught = labels.nonzero()[:, 0]
    nothing = torch.empty(0)
    part = entity_co_tuning(rows, 0.7)
    inputs = TokenInputs(nothing, nothing, nothing, taught)
    terms = part.terms(Batch(inputs, labels), Outputs(nothing, nothing, logits[taught]))
    kinds = [(label - 1) // 2 for label in labels.tolist() if label > 0]
    log_predicted = torch.log_softmax(logits[labels > 0].double(), dim=1)
    pairs = zip(kinds, log_predicted, strict=True)
    by_hand = sum(-(rows[kind].double() @ row) for kind, row in pairs)
    assert terms["source_loss"].item() == pytest.approx(0.7 * by_hand.item() / len(kinds), abs=1e-6)


def test_vanilla_leaves_the_source_head_alone_and_lwf_begins_at_its_own_entropy() -> None:
    source = cut_language_model(make_model(), "hf:tiny", VOCABULARY)
    batch, _ = batch_of([0, 1, 2])
    rows = torch.full((2, len(VOCABULARY)), 1 / len(VOCABULARY))
    model = source.new_model(len(TAGS), 0).eval()
    terms = compose_text_method("vanilla", model, rows, 0.7, 1.0)(model, batch)
    assert list(terms) == ["target_loss"]
    assert not any(parameter.requires_grad for parameter in model.source_head.parameters())
    model = source.new_model(len(TAGS), 0).eval()
    terms = compose_text_method("lwf", model, rows, 2.0, 1.0)(model, batch)
    predicted = model(batch.inputs).source_logits.softmax(dim=1)
    entropy = torch.special.entr(predicted).sum(dim=1).mean()
    assert terms["source_loss"].item() == pytest.approx(2.0 * entropy.item(), rel=1e-5)
