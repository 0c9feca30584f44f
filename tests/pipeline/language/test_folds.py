"""Candidates trained on folds of sentences, as fine-tune trains the method."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_language import make_tokenizer, save_model, write_conll

from pipeline.language.artifacts import PreparedText
from pipeline.language.extraction import entity_states
from pipeline.language.folds import SentenceFoldTrainer, keep_needed
from pipeline.language.inference import predict_words
from pipeline.language.learning import direct_word_relationship
from pipeline.language.readers.registry import list_text
from pipeline.language.sampling import draw_sentences
from pipeline.language.source import load_language_model
from pipeline.language.tag_schemes import type_of
from pipeline.language.teaching import compose_text_method
from pipeline.language.tokens import tokenise
from pipeline.language.training_data import TokenData
from pipeline.params.language_sections import (
    FineTuneText,
    LanguageModel,
    LanguageParams,
    PrepareText,
    TuneText,
)
from pipeline.search.evidence import evidence_of
from pipeline.training.compute import Compute
from pipeline.training.fit import fit
from pipeline.tuning.folds import Fold

CPU = Compute(torch.device("cpu"), torch.float32)
TEXT = PrepareText(source="conll", root="text", sentences=24)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> SentenceFoldTrainer:
    root = tmp_path_factory.mktemp("folds")
    name = save_model(root / "model", everywhere=False)
    listing = list_text("conll", write_conll(root / "text", {"train.txt": 40}), "iob2")
    tokenizer = make_tokenizer()
    store = tokenise(listing.sentences, listing.tags, tokenizer, 16)
    marks = tokenizer.pad_token_id, tokenizer.mask_token_id
    manifest = draw_sentences(listing, TEXT, 0)
    prepared = PreparedText(manifest, listing.tags, list(listing.sentences), store, *marks)
    source = load_language_model(name)
    states = {
        split: entity_states(source.backbone, prepared.split(split), "kept", 4, 8, CPU)
        for split in ("train", "validation")
    }
    params = LanguageParams(
        seed=3,
        source_model=LanguageModel(name=name, longest=16),
        prepare_data=TEXT,
        tune=TuneText(folds=3),
        fine_tune=FineTuneText(
            epochs=2, batch_size=8, kept_epoch="last", optimizer="adamw", learning_rate=0.01
        ),
    )
    return SentenceFoldTrainer(params, prepared, source, states, 1.5, CPU, root / "work")


def types_of_rows(trainer: SentenceFoldTrainer, places: torch.Tensor) -> set[str]:
    sentences = [trainer.prepared.sentences[row] for row in trainer.rows[places].tolist()]
    return {type_of(tag) for sentence in sentences for tag in sentence.tags} - {""}


def test_every_sentence_is_held_out_once_and_every_fold_keeps_every_type(
    trainer: SentenceFoldTrainer,
) -> None:
    folds = trainer.folds()
    assert len(trainer.rows) == 24
    held_out = sorted(torch.cat([fold.held_out for fold in folds]).tolist())
    assert len(set(held_out)) == len(held_out) >= 21
    for fold in folds:
        assert sorted([*fold.kept.tolist(), *fold.held_out.tolist()]) == list(range(24))
        assert types_of_rows(trainer, fold.kept) == {"LOC", "ORG", "PER"}


def test_a_fold_is_trained_as_fine_tune_does_by_what_its_kept_sentences_tell(
    trainer: SentenceFoldTrainer,
) -> None:
    found = list(trainer.held_out(0.7, 0.8))
    fold, prepared = trainer.folds()[1], trainer.prepared
    kept = prepared.tokens_of(trainer.rows[fold.kept])
    states = entity_states(trainer.source.backbone, kept, "kept", 4, 8, CPU)
    none = type(states)(states.states[:0], states.types[:0], states.words[:0])
    relationship = direct_word_relationship(
        trainer.source.head, {"train": states, "validation": none}, 3, 1.2
    ).float()
    torch.testing.assert_close(trainer.learn(fold, 1.5 * 0.8), relationship, atol=1e-6, rtol=1e-5)
    model = trainer.source.new_model(len(prepared.tags), fold.seed)
    objective = compose_text_method("co-tuning", model, relationship, 0.7, 1.2)
    tests = prepared.tokens_of(trainer.rows[fold.held_out])
    rows = trainer.rows[fold.held_out].tolist()
    lengths = [len(prepared.sentences[row].tokens) for row in rows]
    data = TokenData(kept, tests, prepared.tags, lengths)
    result = fit(model, objective, data, trainer.params.fine_tune, CPU, fold.seed)
    model.load_state_dict(result.state)
    expected = predict_words(model.deploy(), tests, 64, CPU)
    torch.testing.assert_close(found[1].logits, expected, atol=1e-4, rtol=1e-3)
    assert torch.equal(found[1].labels, tests.labels)
    assert set(found[1].places.tolist()) == set(rows)


def test_evidence_is_of_sentences(trainer: SentenceFoldTrainer) -> None:
    vanilla = list(trainer.held_out(0.0, 1.0))
    held_out = sum(len(fold.held_out) for fold in trainer.folds())
    assert len(evidence_of(vanilla).losses) == held_out
    again = list(trainer.held_out(0.0, 2.0))  # vanilla knows no temperature
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(vanilla, again, strict=True))


def test_no_fold_is_trained_twice(trainer: SentenceFoldTrainer) -> None:
    passed: list[int] = []
    first = list(trainer.held_out(0.3, 1.0, passed.append))
    assert sum(passed) == trainer.samples_passed()
    again = list(trainer.held_out(0.3, 1.0, passed.append))
    assert sum(passed) == trainer.samples_passed()
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(first, again, strict=True))


@given(st.data())
def test_a_fold_never_holds_out_all_of_a_group(data: st.DataObject) -> None:
    count, groups = data.draw(st.integers(2, 12)), data.draw(st.integers(1, 4))
    rows = st.lists(st.booleans(), min_size=groups, max_size=groups)
    needed = torch.tensor(data.draw(st.lists(rows, min_size=count, max_size=count)))
    needed[data.draw(st.integers(0, count - 1))] = True  # each group has a sample
    held = torch.tensor(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    fold = Fold(torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0], 0)
    found = keep_needed(fold, needed)
    assert needed[found.kept].any(dim=0).all()
    assert torch.cat([found.kept, found.held_out]).sort().values.tolist() == list(range(count))
    moved = len(found.kept) - len(fold.kept)
    assert moved <= int((~needed[fold.kept].any(dim=0)).sum())
