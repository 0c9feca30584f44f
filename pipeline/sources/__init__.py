"""Pre-trained source models: their weights, the cut between features and head, the names of
their categories, and what is learned from their logits (temperature, relationship).
"""

__all__ = [
    "categories",
    "efficientnet_lite",
    "from_logits",
    "hub",
    "hugging_face_models",
    "models",
    "ranking",
    "scoring",
    "sizes",
    "source_model",
    "split_logits",
    "temperature",
    "timm_models",
    "torchvision_models",
    "transformers_library",
    "weights",
]
