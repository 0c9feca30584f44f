"""What a method predicts for the test, word by word, and how good that is.

A predictions table has a row a word, sentence by sentence: sentence (its number), word (in it, from
0), tag and prediction, and nll (of the tag, in nats; empty for a word that the tokenizer made
nothing of, which is predicted to be outside).
"""

import numpy as np
import pandas as pd
from torch import Tensor

from pipeline.artifacts.tables import COUNT, TEXT, Column, Columns
from pipeline.common.errors import UserError
from pipeline.language.artifacts import PreparedText, TextStore, rows_of
from pipeline.language.batches import TokenSet
from pipeline.language.entities import Tags, count_entities, strict_scores
from pipeline.language.tag_schemes import OUTSIDE

PREDICTIONS: Columns = {
    **{"sentence": COUNT, "word": COUNT, "tag": TEXT, "prediction": TEXT},
    "nll": Column("number", 0, may_lack=True),
}


def predictions_table(prepared: PreparedText, tokens: TokenSet, logits: Tensor) -> pd.DataFrame:
    """Of all words of the sentences that the parts are of.

    Args:
        logits: [word, tag], of the words of the parts.
    """
    store, places = tokens.store, tokens.word_places
    numbers = store.sentences[tokens.parts].unique().tolist()
    nll = -logits.double().log_softmax(dim=1).gather(1, store.labels[places][:, None])[:, 0]
    seen = pd.DataFrame(
        {
            "sentence": tokens.word_sentences.numpy(),
            "word": store.words[places].numpy(),
            "prediction": [prepared.tags[label] for label in logits.argmax(dim=1).tolist()],
            "nll": nll.numpy(),
        }
    )
    every = pd.DataFrame(
        [
            (number, word, tag)
            for number in numbers
            for word, tag in enumerate(prepared.sentences[number].tags)
        ],
        columns=["sentence", "word", "tag"],
    )
    table = every.merge(seen, on=["sentence", "word"], how="left", validate="one_to_one")
    return table.fillna({"prediction": OUTSIDE})[["sentence", "word", "tag", "prediction", "nll"]]


def read_predictions(store: TextStore, method: str) -> pd.DataFrame:
    """What evaluate wrote, of exactly the present test sentences.

    Raises:
        UserError: it is missing, or of others.
    """
    table = store.load_table(PREDICTIONS, "evaluate", method, "predictions.csv")
    if set(table["sentence"]) != set(rows_of(store.load_manifest(), "test").tolist()):
        path = store.path("evaluate", method, "predictions.csv")
        raise UserError(
            f"{path.relative_to(store.root)} is not of the present test sentences; make it again "
            f"with `cot stage evaluate --method {method} --seed {store.sample}`"
        )
    return table


def tags_by_sentence(predictions: pd.DataFrame) -> tuple[Tags, Tags]:
    """True and predicted tags of each sentence, in the order of their numbers."""
    ordered = predictions.sort_values(["sentence", "word"])
    ends = np.flatnonzero(np.diff(ordered["sentence"])) + 1
    true, predicted = (
        [part.tolist() for part in np.split(ordered[name].to_numpy(object), ends)]
        for name in ("tag", "prediction")
    )
    return true, predicted


def text_metrics(predictions: pd.DataFrame, types: list[str]) -> dict[str, float]:
    """precision, recall and f1 of entities, as conlleval counts them, and with `strict_` before
    them where only what begins with B- is one; token_accuracy, all in [0, 1]; nll (nats a word).
    """
    true, predicted = tags_by_sentence(predictions)
    strict = strict_scores(true, predicted)
    return {
        **count_entities(true, predicted, types).scores(),
        **{f"strict_{name}": value for name, value in strict.items()},
        "token_accuracy": float((predictions["tag"] == predictions["prediction"]).mean()),
        "nll": float(predictions["nll"].mean()),
    }
