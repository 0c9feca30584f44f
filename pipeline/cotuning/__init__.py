"""Co-Tuning for Transfer Learning (You, Kou, Long, Wang, NeurIPS 2020): tensors in, tensors out.

All that a training loop of one's own needs:

    relationship, _ = fit_relationship(
        train_logits, train_labels, validation_logits, validation_labels, target_classes
    )
    outputs = model(images)  # a CoTuningModel
    loss = co_tuning_loss(outputs.target_logits, outputs.source_logits, labels, relationship)
"""

from .calibration import (
    expected_calibration_error,
    fit_target_likelihood_temperature,
    fit_temperature,
    reliability_curve,
)
from .losses import co_tuning_loss, translated_cross_entropy
from .model import CoTuningModel
from .relationship import fit_relationship

__all__ = [
    "CoTuningModel",
    "bi_tuning",
    "calibration",
    "co_tuning_loss",
    "diagnostics",
    "expected_calibration_error",
    "fit_relationship",
    "fit_target_likelihood_temperature",
    "fit_temperature",
    "folds",
    "knowledge",
    "linear_probe",
    "losses",
    "model",
    "objectives",
    "posterior",
    "regularizers",
    "relationship",
    "reliability_curve",
    "reverse",
    "transferability",
    "translated_cross_entropy",
]
