"""Vanilla, lwf, and Co-Tuning by the learned R and by others, on tagged tweets.

R is learned from predictions at masked words; `observed R` from predictions at words that the model
sees, and `shuffled R` has the learned rows for other types. A cell is a row of the table with so
many sentences and a seed. A finished one is not trained again while pretrained model, tweets,
params and code stay the same.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline import params
from pipeline.claims.controls import control
from pipeline.common.files import write_aside
from pipeline.common.formats import read_json, write_csv, write_json
from pipeline.common.resume import resume_key
from pipeline.language.artifacts import PreparedText
from pipeline.language.entities import EntityCounts, count_entities, f1_difference, score_intervals
from pipeline.language.extraction import Observed, entity_states, some_masked_words
from pipeline.language.inference import predict_words
from pipeline.language.learning import (
    SPLITS,
    LearnedWords,
    find_word_temperature,
    head_logits,
    learn_word_relationship,
)
from pipeline.language.listing import TextListing
from pipeline.language.predictions import predictions_table, tags_by_sentence
from pipeline.language.readers.registry import list_text
from pipeline.language.sampling import draw_sentences
from pipeline.language.source import LanguageSource, load_language_model, load_tokenizer
from pipeline.language.teaching import TRAINING_CODE, compose_text_method
from pipeline.language.tokens import TokenStore, tokenise
from pipeline.language.training_data import TokenData
from pipeline.report.markdown import points, table
from pipeline.training.compute import Compute, resolve_compute
from pipeline.training.fit import fit

OBSERVED: tuple[Observed, ...] = get_args(Observed)
SIZES = (100, 300, None)  # sentences for training and validation; None: all
ROWS = {
    "vanilla": "vanilla",
    "co-tuning": "co-tuning",
    "observed R": "co-tuning",
    "shuffled R": "co-tuning",
    "lwf": "lwf",
}
RESAMPLES = 2000
MODEL, TWEETS, CELLS = Path("data/model"), Path("data/tweets.txt"), Path(".work/compare")

log = logging.getLogger(__name__)


class Comparison:
    """All that the cells share."""

    def __init__(self, values: params.LanguageParams) -> None:
        self.values = values
        self.compute: Compute = resolve_compute("auto", "auto")
        data, name = values.prepare_data, values.source_model.name
        self.listing: TextListing = list_text(data.source, Path(data.root), data.scheme)
        self.tokenizer = load_tokenizer(name)
        self.source: LanguageSource = load_language_model(name)
        self.store: TokenStore = tokenise(
            self.listing.sentences, self.listing.tags, self.tokenizer, values.source_model.longest
        )

    def draw(self, size: int | None, seed: int) -> PreparedText:
        section = self.values.prepare_data.model_copy(update={"sentences": size})
        marks = self.tokenizer.pad_token_id, self.tokenizer.mask_token_id
        manifest = draw_sentences(self.listing, section, seed)
        sentences = list(self.listing.sentences)
        return PreparedText(manifest, self.listing.tags, sentences, self.store, *marks)

    def temperature(self, prepared: PreparedText) -> float:
        section = self.values.extract_logits
        given = prepared.mask, section.batch_size, self.compute
        backbone, head = self.source.backbone.to(self.compute.device), self.source.head
        words = prepared.split("validation")
        masked = some_masked_words(backbone, words, section.calibration_words, *given)
        logits = head_logits(head, masked.states)
        return find_word_temperature(self.values.calibrate, logits, masked.sub_words).temperature

    def learn(self, prepared: PreparedText, observed: Observed, temperature: float) -> LearnedWords:
        given = prepared.mask, self.values.extract_logits.batch_size, self.compute
        backbone, head = self.source.backbone.to(self.compute.device), self.source.head
        states = {
            split: entity_states(backbone, prepared.split(split), observed, *given)
            for split in SPLITS
        }
        way = self.values.fit_relationship
        return learn_word_relationship(head, states, len(prepared.types), temperature, way)

    def train(
        self, row: str, prepared: PreparedText, relationship: Tensor, temperature: float, seed: int
    ) -> EntityCounts:
        """Entities of the test sentences, as the trained model finds them."""
        if row == "shuffled R":
            marginal = relationship.mean(dim=0)  # not looked at
            relationship = control(relationship, marginal, "shuffled", seed)
        model = self.source.new_model(len(prepared.tags), seed).to(self.compute.device)
        weight = self.values.tune.source_weight
        rows = relationship.to(self.compute.device)
        objective = compose_text_method(ROWS[row], model, rows, weight, temperature)
        data = TokenData.of(prepared)
        result = fit(model, objective, data, self.values.fine_tune, self.compute, seed)
        model.load_state_dict(result.state)
        test = prepared.split("test")
        logits = predict_words(model.deploy(), test, 64, self.compute)
        tags = tags_by_sentence(predictions_table(prepared, test, logits))
        return count_entities(*tags, prepared.types)


def run_cells(comparison: Comparison, key: str) -> dict[tuple[int | None, str], list[EntityCounts]]:
    found: dict[tuple[int | None, str], list[EntityCounts]] = {}
    for size in SIZES:
        for seed in comparison.values.fine_tune.seeds:
            beginning = f"{size or 'all'}-{seed}"
            paths = {row: CELLS / key / f"{beginning}-{row}.npy" for row in ROWS}
            missing = [row for row, path in paths.items() if not path.exists()]
            if missing:
                prepared = comparison.draw(size, seed)
                temperature = comparison.temperature(prepared)
                learned = {way: comparison.learn(prepared, way, temperature) for way in OBSERVED}
                for way, one in learned.items():
                    write_json(CELLS / key / f"{beginning}-{way}.json", known(one))
            for row in missing:
                relationship = learned["kept" if row == "observed R" else "masked"].relationship
                counts = comparison.train(row, prepared, relationship.float(), temperature, seed)
                with write_aside(paths[row]) as aside:
                    np.save(aside, counts.counts)
                log.warning(
                    "%s sentences, seed %d, %s: F1 %.3f", size, seed, row, counts.scores()["f1"]
                )
            for row, path in paths.items():
                found.setdefault((size, row), []).append(EntityCounts(np.load(path)))
    return found


def tabulate(found: dict[tuple[int | None, str], list[EntityCounts]]) -> pd.DataFrame:
    """A row a size and row of the table: mean F1 and its difference to vanilla, with intervals."""
    rows = []
    for (size, row), counts in found.items():
        low, high = score_intervals(counts, RESAMPLES, 0)["f1"]
        f1 = float(np.mean([one.scores()["f1"] for one in counts]))
        gain = f1_difference(found[size, "vanilla"], counts, RESAMPLES, 0)
        rows.append((size or "all", row, f1, low, high, gain.difference, gain.low, gain.high))
    names = ["sentences", "row", "f1", "f1_low", "f1_high", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=names)


def known(learned: LearnedWords) -> dict[str, object]:
    """How R was learned, and what it knows of words that it was not learned from."""
    reduced = learned.reduced
    accuracy = reduced.classifier.validation_accuracy
    found = {"direction": reduced.direction, "g_accuracy": accuracy}
    return found | (asdict(reduced.knowledge) if reduced.knowledge else {})


def knowledge(cells: Path) -> pd.DataFrame:
    """A row a size, seed and way of looking at words: what the relationship knows."""
    rows = []
    for path in sorted(cells.glob("*.json")):
        size, seed, observed = path.stem.split("-")
        rows.append({"sentences": size, "seed": seed, "observed": observed} | read_json(path))
    return pd.DataFrame(rows)


def as_markdown(found: pd.DataFrame, seeds: Sequence[int]) -> str:
    cells = [
        [
            *(str(one["sentences"]), str(one["row"])),
            f"{one['f1']:.1%} ({one['f1_low']:.1%} to {one['f1_high']:.1%})",
            f"{points(one['gain'])} ({points(one['gain_low'])} to {points(one['gain_high'])})",
        ]
        for one in found.to_dict("records")
    ]
    header = ["Sentences", "Row", "F1", "To vanilla, points"]
    return f"{table(header, cells)}\n\nMean of {len(seeds)} seeds, each with a draw of its own.\n"


def main() -> None:
    torch.set_num_threads(1)  # the same bytes on any number of cores
    values = params.load_project(Path("compare.yaml"))
    assert isinstance(values, params.LanguageParams)
    inputs = [MODEL / "model.safetensors", TWEETS, Path(__file__)]
    key = resume_key(values.model_dump(mode="json"), inputs, TRAINING_CODE)
    found = tabulate(run_cells(Comparison(values), key))
    write_csv(Path("data/compare/cells.csv"), found)
    write_csv(Path("data/compare/knowledge.csv"), knowledge(CELLS / key))
    with write_aside(Path("data/compare/table.md")) as aside:
        aside.write_text(as_markdown(found, values.fine_tune.seeds), encoding="utf-8")


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    main()
