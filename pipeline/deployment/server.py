"""A fine-tuned model behind HTTP: a page to drop an image on, and a JSON endpoint."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fastapi import HTTPException, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp
from torch import Tensor

from pipeline.deployment.connections import guarded
from pipeline.deployment.images import square_of
from pipeline.deployment.pages import add_page, new_app
from pipeline.deployment.target_model import TargetModel
from pipeline.deployment.uploads import FIELD, Limits, uploaded_image

SHOWN_CATEGORIES = 8
READ_AT_ONCE = 32  # bodies in memory; further ones wait on their way
DECODED_AT_ONCE = 2  # images; one takes up to 3 bytes a pixel
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {FIELD: {"type": "string", "format": "binary"}},
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    408: {"description": "The image did not arrive in time."},
    413: {"description": "The body is too large."},
    422: {"description": "There is no image in it that can be read."},
}


class ClassProbability(BaseModel):
    """A target class and its calibrated probability."""

    name: str
    probability: float


class CategoryProbability(BaseModel):
    """A source category: what the kept source head gives it in the image, and what the
    relationship gives it for the predicted class.
    """

    name: str
    probability: float
    relationship: float


class Prediction(BaseModel):
    """What the model says of an image; classes and categories with the most probable first."""

    classes: list[ClassProbability]
    categories: list[CategoryProbability]


class Served(BaseModel):
    """What is served."""

    method: str
    source_model: str
    classes: list[str]
    temperature: float


@dataclass(frozen=True)
class Classifier:
    """A target model with what its source head was taught.

    Attributes:
        relationship: R [target, source].
        categories: names of the source categories.
    """

    model: TargetModel
    relationship: Tensor
    categories: Sequence[str]
    lock: threading.Lock

    def __call__(self, square: np.ndarray) -> Prediction:
        """Of one image, uint8 [stored_size, stored_size, 3]."""
        with self.lock:
            [classes], [seen] = self.model.both_probabilities(square[None])
        row = self.relationship[int(classes.argmax())]
        top = torch.cat([seen.topk(SHOWN_CATEGORIES).indices, row.topk(SHOWN_CATEGORIES).indices])
        shown = sorted(set(top.tolist()), key=lambda place: -float(seen[place]))
        return Prediction(
            classes=[
                ClassProbability(name=self.model.classes[place], probability=float(classes[place]))
                for place in classes.argsort(descending=True)
            ],
            categories=[
                CategoryProbability(
                    name=self.categories[place],
                    probability=float(seen[place]),
                    relationship=float(row[place]),
                )
                for place in shown
            ],
        )


def create_app(classify: Classifier, source_model: str, limits: Limits) -> ASGIApp:
    """The page at /, POST /predict, GET /model, GET /health, and the API's own page at /docs.

    Args:
        source_model: its name.
    """
    model = classify.model
    app = new_app(f"Classifies images by {model.method}.")
    reading, decoding = asyncio.Semaphore(READ_AT_ONCE), asyncio.Semaphore(DECODED_AT_ONCE)

    @app.get("/model")
    async def served() -> Served:
        """What is served."""
        return Served(
            method=model.method,
            source_model=source_model,
            classes=list(model.classes),
            temperature=model.temperature,
        )

    @app.post("/predict", openapi_extra={"requestBody": BODY}, responses=REFUSALS)
    async def predict(request: Request) -> Prediction:
        """Classify one image: in the field `image` of a form, or as the body itself."""
        async with reading:
            try:
                data = await uploaded_image(request, limits)
                async with decoding:
                    square = await asyncio.to_thread(
                        square_of, data, model.stored_size, limits.pixels, model.interpolation
                    )
            except ClientDisconnect:
                raise HTTPException(400, "the client went away") from None
            except ValueError as error:
                raise HTTPException(422, f"the image cannot be read: {error}") from None
        return await asyncio.to_thread(classify, square)

    add_page(app, "images")
    return guarded(app)
