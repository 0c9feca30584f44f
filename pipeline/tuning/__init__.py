"""The stage tune of every modality: candidates trained on folds of the labelled data, a search over
them that processes share, and what is chosen and recommended.
"""

__all__ = ["folds", "image_folds", "search"]
