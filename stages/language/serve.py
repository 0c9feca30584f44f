"""Serve a fine-tuned tagger: a page and a JSON endpoint."""

from collections.abc import Sequence

from pipeline.common.project import project_root
from pipeline.deployment.description import shared_name
from pipeline.deployment.listening import listening, serve
from pipeline.deployment.target_model import trained_method
from pipeline.deployment.text_server import (
    TEXT_LIMITS,
    FoundEntity,
    ServedTagger,
    create_text_app,
)
from pipeline.language.artifacts import TextStore
from pipeline.language.spans import entities_by_line
from pipeline.language.tagging import ready_tagger
from pipeline.params import LanguageParams


def run(params: LanguageParams, method: str | None, host: str, port: int) -> None:
    store = TextStore(project_root(), params.sample)
    place = listening(host, port)
    method = trained_method(store, params.fine_tune.methods, method)
    tagger = ready_tagger(store, params, method)
    types = tagger.names[1:]

    def tag(lines: Sequence[str]) -> list[FoundEntity]:
        found = entities_by_line(lines, tagger.entities)
        return [
            FoundEntity(line=line, **entity)
            for line, entities in enumerate(found, 1)
            for entity in entities
        ]

    name = shared_name(params.source_model.name)
    served = ServedTagger(method=method, source_model=name, types=types)
    serve(create_text_app(tag, served, TEXT_LIMITS), method, host, place)
