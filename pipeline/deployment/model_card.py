"""The model card of an export, as the hub and people read it."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.deployment.description import Description

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
    places = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return places.get_template("model-card.md").render(
        of=description,
        loading=loading,
        listed=LISTED,
        measures=MEASURES,
        splits={name: count for name, count in description.data.items() if name != "source"},
    )
