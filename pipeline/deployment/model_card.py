"""The model card of an export, as the hub and people read it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.deployment.description import Description
from pipeline.deployment.text_description import TextDescription

CARD = "README.md"
LISTED = 100  # classes that are named
MEASURES = {
    "accuracy": "Accuracy",
    "mean_class_accuracy": "Per-class accuracy",
    "calibrated_nll": "NLL (nats) at its own temperature",
    "calibrated_ece": "ECE at its own temperature",
}


def model_card(description: Description, loading: str) -> str:
    """Markdown with the front matter of the hub.

    Args:
        loading: lines of Python that load and ask the model.
    """
    splits = {name: count for name, count in description.data.items() if name != "source"}
    values = {"of": description, "loading": loading, "splits": splits}
    return _render("model-card.md", values | {"listed": LISTED, "measures": MEASURES})


def token_classifier_card(description: TextDescription, loading: str) -> str:
    """The same of a model of text.

    Args:
        loading: as of model_card.
    """
    return _render("token-classifier-card.md", {"of": description, "loading": loading})


def _render(template: str, values: Mapping[str, Any]) -> str:
    places = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return places.get_template(template).render(values)
