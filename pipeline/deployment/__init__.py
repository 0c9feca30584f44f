"""A fine-tuned model at work: from an image as a user has it to calibrated probabilities.

`target_model` puts the artifacts together, `images` opens what a user brings, `server` answers over
HTTP.
"""

__all__ = ["images", "server", "target_model", "uploads"]
