"""A fine-tuned model at work: from an image as a user has it to calibrated probabilities.

`target_model` puts the artifacts together, `images` opens what a user brings.
"""

__all__ = ["images", "target_model"]
