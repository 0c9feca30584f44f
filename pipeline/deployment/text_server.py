"""A fine-tuned tagger behind HTTP: a page to write sentences on, and a JSON endpoint."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import HTTPException, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from pipeline.deployment.connections import guarded
from pipeline.deployment.pages import add_page, new_app
from pipeline.deployment.uploads import Limits, uploaded_body

TEXT_LIMITS = Limits(upload_bytes=100_000)
BODY = {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    408: {"description": "The text did not arrive in time."},
    413: {"description": "The body is too large."},
    422: {"description": "It is not in UTF-8, or has no word."},
}


class FoundEntity(BaseModel):
    """Words from `first` to before `end` of a line, both counted from 0, and lines from 1.

    `probability` is that of `type`, the mean over the words; it is not calibrated.
    """

    line: int
    first: int
    end: int
    text: str
    type: str
    probability: float


class FoundEntities(BaseModel):
    entities: list[FoundEntity]


class ServedTagger(BaseModel):
    """What is served."""

    method: str
    source_model: str
    types: list[str]


def create_text_app(
    tag: Callable[[Sequence[str]], list[FoundEntity]], served: ServedTagger, limits: Limits
) -> ASGIApp:
    """The page at /, POST /predict, GET /model, GET /health, and the API's own page at /docs.

    Args:
        tag: the entities of lines, which are a sentence each; called by one request at a time.
    """
    app = new_app(f"Finds entities by {served.method}.")
    working = asyncio.Semaphore(1)

    @app.get("/model")
    async def model() -> ServedTagger:
        """What is served."""
        return served

    @app.post("/predict", openapi_extra={"requestBody": BODY}, responses=REFUSALS)
    async def predict(request: Request) -> FoundEntities:
        """Find the entities of a text: a sentence a line, words and punctuation between spaces."""
        try:
            text = (await uploaded_body(request, limits)).decode("utf-8-sig")
        except ClientDisconnect:
            raise HTTPException(400, "the client went away") from None
        except UnicodeDecodeError:
            raise HTTPException(422, "the text is not in UTF-8") from None
        if not text.strip():
            raise HTTPException(422, "there is no word; send a sentence a line") from None
        async with working:
            found = await asyncio.to_thread(tag, text.split("\n"))
        return FoundEntities(entities=found)

    add_page(app, "text")
    return guarded(app)
