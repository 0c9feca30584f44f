"""What teaches the source head in a cell of the claims table, and what it knows."""

from typing import Any

import torch
from torch import Tensor

from pipeline.artifacts import Prepared
from pipeline.claims.controls import control
from pipeline.claims.pool import Pool
from pipeline.claims.recovery import divergence_from_truth, recovered_mass
from pipeline.cotuning.diagnostics import leep_score
from pipeline.cotuning.knowledge import cross_validated_knowledge
from pipeline.params.claims_sections import CellSettings
from pipeline.params.methods import CO_TUNING, POSTERIOR, teaches_source_head
from pipeline.params.sections import Calibrate
from pipeline.sources.from_logits import learn_relationship, source_predictions
from pipeline.sources.temperature import find_temperature
from pipeline.training.methods import SourceLabels

TAUGHT_BY_RELATIONSHIP = {CO_TUNING, POSTERIOR}


def source_labels(
    settings: CellSettings, seed: int, pool: Pool, sample: Prepared, calibrate: Calibrate
) -> tuple[dict[str, Any], SourceLabels]:
    """Columns of the table that tell of them, and they; what no part uses is not learned.

    Returns:
        Columns temperature; relationship, its kind; leep (nats) of the training images, g_accuracy
        on the validation images; knowledge_nats, knowledge_accuracy and
        knowledge_log_likelihood of it or of the control in its place, cross-validated; where the
        true R is known recovered_mass and divergence_from_truth (nats).
    """
    classes = len(sample.classes)
    splits = pool.split_logits(sample)
    nothing = torch.empty(classes, 0)
    if not teaches_source_head(settings.method):
        return {}, SourceLabels(nothing, splits, 1.0)
    temperature = 1.0
    if settings.calibrated:
        temperature = find_temperature(calibrate, splits, classes).temperature
    columns: dict[str, Any] = {"temperature": temperature}
    if TAUGHT_BY_RELATIONSHIP.isdisjoint(settings.method.split("+")):
        return columns, SourceLabels(nothing, splits, temperature)
    learned = learn_relationship(splits, classes, temperature, settings)
    predictions, labels = source_predictions(splits, temperature)
    truth = pool.true_relationship

    def controlled(relationship: Tensor, marginal: Tensor) -> Tensor:
        return control(relationship, marginal, settings.relationship, seed, truth)

    def learn(probabilities: Tensor, labels: Tensor) -> Tensor:
        return controlled(learned.learner(probabilities, labels), probabilities.mean(dim=0))

    taught = controlled(learned.relationship, predictions.mean(dim=0))
    columns["relationship"] = settings.relationship
    train = splits["train"].labels
    columns["leep"] = leep_score(predictions[: len(train)], train, classes)
    columns["g_accuracy"] = learned.classifier.validation_accuracy
    if (knowledge := learned.knowledge) is not None:
        if settings.relationship != "learned":
            knowledge = cross_validated_knowledge(learn, predictions, labels)
        for name in ("nats", "accuracy", "log_likelihood"):
            columns[f"knowledge_{name}"] = getattr(knowledge, name)
    if truth is not None:
        columns["recovered_mass"] = recovered_mass(taught, truth)
        columns["divergence_from_truth"] = divergence_from_truth(taught, truth)
    return columns, SourceLabels(taught, splits, temperature)
