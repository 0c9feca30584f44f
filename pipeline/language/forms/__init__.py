"""What a fine-tuned tagger is for other programs beside a token classifier of transformers."""

__all__ = [
    "mlflow",
    "serving",
]
