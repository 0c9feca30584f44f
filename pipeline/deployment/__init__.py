"""A fine-tuned model at work: from an image as a user has it to calibrated probabilities.

`target_model` puts the artifacts together, `images` opens what a user brings, `found` writes what
the model said of it, `server` and `text_server` answer over HTTP, with what is common from `pages`
and `listening` and bounds from `uploads` and `connections`. For other programs `exports` writes it
in one of the `forms` (ONNX, ...) with its `description` and `model_card`; `classifier` is the
network that most of them hold. Of text there is a `text_description`. `pyfunc` writes what MLflow
serves, `registry` registers it.
"""

__all__ = [
    "classifier",
    "connections",
    "description",
    "exports",
    "forms",
    "found",
    "images",
    "listening",
    "model_card",
    "pages",
    "pyfunc",
    "registry",
    "server",
    "target_model",
    "text_description",
    "text_server",
    "uploads",
]
