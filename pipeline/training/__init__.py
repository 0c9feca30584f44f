"""Fine-tuning: the training loop, its schedule, the methods' objectives put together; inference;
the device and the several processes that a network runs on.
"""

__all__ = ["compute", "distributed", "fit", "inference", "methods", "schedule", "whole_batch"]
