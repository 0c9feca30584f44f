"""What `cot export` and `cot register` do for text: a folder for other programs, checked."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pipeline.common.errors import UserError
from pipeline.deployment.exports import CHECKED, TOLERANCE, as_everywhere, converting, spread
from pipeline.deployment.model_card import CARD, token_classifier_card
from pipeline.deployment.pyfunc import Program, load_pyfunc, save_pyfunc
from pipeline.deployment.text_description import TextDescription, describe_text
from pipeline.language.artifacts import PreparedText, TextStore
from pipeline.language.forms import mlflow
from pipeline.language.model import TokenModel
from pipeline.language.spans import entities_by_line
from pipeline.language.tagger import (
    LOADING,
    largest_difference,
    load_tagger,
    save_token_classifier,
)
from pipeline.language.tagging import Tagger, tagger_of
from pipeline.params import LanguageParams

HUGGING_FACE, MLFLOW = FORMS = ("hugging-face", "mlflow")


def export_text(
    store: TextStore, params: LanguageParams, form: str, method: str, folder: Path
) -> tuple[TextDescription, str]:
    """Write what a method trained, with its description and its card, and hold it against PyTorch
    on test sentences.

    Args:
        form: of FORMS.
        folder: empty.

    Returns:
        The description, and in words what was found.

    Raises:
        UserError: it cannot be written in this form, or answers otherwise than PyTorch.
    """
    prepared, everywhere = store.load_sentences(), as_everywhere(params)
    model = load_tagger(store, everywhere, method, len(prepared.tags))
    about = describe_text(store, params, method, prepared.tags, prepared.types)
    rows = prepared.rows("test")
    rows = rows[spread(len(rows))]
    if form == HUGGING_FACE:
        found = _write_classifier(model, params, prepared, rows, folder)
    else:
        with tempfile.TemporaryDirectory() as work:
            classifier = Path(work) / "classifier"
            _write_classifier(model, params, prepared, rows, classifier)
            lines = [" ".join(prepared.sentences[row].tokens) for row in rows]
            ready = tagger_of(model, prepared.tags, prepared.pad, everywhere)
            found = _write_pyfunc(ready, about, classifier, lines, folder)
    about.save(folder)
    loading = LOADING if form == HUGGING_FACE else mlflow.LOADING
    (folder / CARD).write_text(token_classifier_card(about, loading))
    return about, found


def _write_classifier(
    model: TokenModel,
    params: LanguageParams,
    prepared: PreparedText,
    rows: np.ndarray,
    folder: Path,
) -> str:
    """As transformers has it; probabilities are compared on the sentences of these numbers."""
    tests = prepared.tokens_of(torch.from_numpy(rows)).part(slice(CHECKED))
    save_token_classifier(model, params.source_model.name, prepared.tags, folder)
    difference = largest_difference(model.deploy(), folder, tests)
    if difference > TOLERANCE:
        raise UserError(
            f"the exported model gives other probabilities, by up to {difference:.1e} on "
            f"{len(rows)} sentences, so it was not kept; its family does more before its "
            "classifier"
        )
    return f"on {len(rows)} sentences of the test its probabilities are within {difference:.1e}"


def _write_pyfunc(
    ready: Tagger, about: TextDescription, classifier: Path, lines: list[str], folder: Path
) -> str:
    """As MLflow serves it; entities of lines are compared."""
    program = Program(mlflow.SCRIPT, mlflow.CODE, mlflow.REQUIREMENTS)
    stored = mlflow.about(about.types, about.method, about.longest)
    with converting(about.source_model):
        save_pyfunc(program, {"classifier": classifier}, folder, **stored)
        found = load_pyfunc(folder).predict(pd.DataFrame({"text": lines}))["entities"].tolist()
    expected = entities_by_line(lines, ready.entities)
    difference = mlflow.entity_difference(expected, found)
    if difference > TOLERANCE:
        raise UserError(
            f"the exported model finds other entities than PyTorch on {len(lines)} sentences, or "
            f"gives them probabilities that differ by over {TOLERANCE:.0e}, so it was not kept; "
            "choose another form"
        )
    return (
        f"on {len(lines)} sentences of the test the same {sum(map(len, expected))} entities as "
        f"PyTorch, probabilities within {difference:.1e}"
    )
