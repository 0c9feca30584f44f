"""Fine-tuning: the training loop, its schedule, the methods' objectives put together; inference;
the device and the several processes that a network runs on.
"""

__all__ = [
    "compute",
    "data",
    "distributed",
    "fit",
    "inference",
    "judge",
    "methods",
    "probe",
    "schedule",
    "whole_batch",
]
