"""Named entities in text: the second modality behind the stages, with a masked language model's
own head as the source classifier: its source categories are the words of a vocabulary.
"""

__all__ = [
    "artifacts",
    "batches",
    "entities",
    "extraction",
    "folds",
    "forms",
    "inference",
    "inputs",
    "learning",
    "listing",
    "misses",
    "model",
    "predictions",
    "ranking",
    "readers",
    "report",
    "sampling",
    "source",
    "spans",
    "tag_schemes",
    "tagger",
    "tagging",
    "teaching",
    "tokens",
    "training_data",
]
