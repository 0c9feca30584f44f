"""Co-Tuning for Transfer Learning (You, Kou, Long, Wang, NeurIPS 2020): tensors in, tensors out.

All that a training loop of one's own needs:

    relationship, _ = fit_relationship(
        train_logits, train_labels, validation_logits, validation_labels, target_classes
    )
    outputs = model(images)  # a CoTuningModel
    loss = co_tuning_loss(outputs.target_logits, outputs.source_logits, labels, relationship)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibration import fit_target_likelihood_temperature, fit_temperature, reliability_curve
    from .losses import co_tuning_loss, translated_cross_entropy
    from .model import CoTuningModel
    from .relationship import fit_relationship
    from .reliability import expected_calibration_error

__all__ = [
    "CoTuningModel",
    "bi_tuning",
    "calibration",
    "category_blocks",
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
    "multinomial",
    "objectives",
    "posterior",
    "regularization_path",
    "regularizers",
    "relationship",
    "reliability",
    "reliability_curve",
    "reverse",
    "transferability",
    "translated_cross_entropy",
]
_HOMES = {
    "CoTuningModel": "model",
    "co_tuning_loss": "losses",
    "expected_calibration_error": "reliability",
    "fit_relationship": "relationship",
    "fit_target_likelihood_temperature": "calibration",
    "fit_temperature": "calibration",
    "reliability_curve": "calibration",
    "translated_cross_entropy": "losses",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for alone: scikit-learn and torch take seconds."""
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
