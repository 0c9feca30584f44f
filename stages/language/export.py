"""Export a fine-tuned model of text as a token classifier of transformers, checked on sentences."""

from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import write_folder_aside
from pipeline.common.formats import read_json, write_json
from pipeline.common.project import project_root
from pipeline.deployment.description import FILE, runs_behind, shared_name
from pipeline.deployment.exports import TOLERANCE, require_replaceable, tell_exported
from pipeline.deployment.model_card import CARD, token_classifier_card
from pipeline.deployment.target_model import trained_method
from pipeline.language.artifacts import TextStore
from pipeline.language.tagger import largest_difference, load_tagger, save_token_classifier
from pipeline.params import LanguageParams
from pipeline.tracking.provenance import git_tags

FORM = "hugging-face"
CHECKED = 200  # parts of test sentences


def run(params: LanguageParams, form: str, method: str | None, output: Path | None) -> None:
    if form != FORM:
        raise UserError(f"got {form}; a model of text is exported as {FORM} alone")
    store = TextStore(project_root(), params.sample)
    folder = store.root / "exports" / form if output is None else output.absolute()
    require_replaceable(folder)
    method = trained_method(store, params.fine_tune.methods, method)
    prepared = store.load_sentences()
    model = load_tagger(store, params, method, len(prepared.tags))
    tests = prepared.split("test").part(slice(CHECKED))
    with write_folder_aside(folder) as aside:
        save_token_classifier(model, params.source_model.name, prepared.tags, aside)
        difference = largest_difference(model.deploy(), aside, tests)
        if difference > TOLERANCE:
            raise UserError(
                f"the exported model gives other probabilities, by up to {difference:.1e} on "
                f"{len(tests)} sentences, so it was not kept; its family does more before its "
                "classifier"
            )
        judged = store.path("evaluate", method, "metrics.json")
        description = {
            "tags": prepared.tags,
            "method": method,
            "seed": params.sample,
            "source_model": shared_name(params.source_model.name),
            "metrics": read_json(judged) if judged.exists() else {},
            "git": git_tags(store.root),
            "runs": runs_behind(store, method),
        }
        write_json(aside / FILE, description)
        (aside / CARD).write_text(token_classifier_card(description | {"types": prepared.types}))
    tell_exported(
        folder,
        f"{method} as {form}; on {len(tests)} sentences of the test its probabilities are within "
        f"{difference:.1e}.",
    )
