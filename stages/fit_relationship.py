"""Learn p(y_s | y_t), and say what it looks like."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch.nn.functional as F
from torch import Tensor

from pipeline.artifacts import SplitLogits, Store
from pipeline.common.formats import by_class, write_csv, write_json
from pipeline.common.project import project_root
from pipeline.cotuning import diagnostics
from pipeline.params import Params
from pipeline.sources.from_logits import Learned, learn_relationship, source_predictions
from pipeline.tracking.runs import stage_run

CERTAIN = 2.0  # standard errors
SIMILAR_ROWS = 0.95  # cosine from which two rows hardly differ for the source head
# Photographs that EfficientNet-Lite0 sees at 48 or 64 px: 0.40 to 0.57; at 112 px 0.18 to 0.28.
SURE_BY_MUCH = 0.35  # mean confidence over the accuracy on held-out images
NEAR_MAJORITY = 0.02  # accuracy over the majority class that g must exceed to know anything


def run(params: Params) -> None:
    store = Store(project_root(), params.sample)
    section = params.fit_relationship
    categories, classes = store.load_categories(), store.load_classes()
    splits = store.load_logits(categories=len(categories))
    best = store.load_best()
    temperature = store.load_calibration().temperature * best.temperature_factor
    folder = store.folder("fit-relationship")
    with stage_run(
        store.root,
        "fit-relationship",
        section.model_dump() | {"temperature": temperature},
        inputs=[
            store.require("extract-logits", "logits.safetensors"),
            store.require("calibrate", "calibration.json"),
            store.require("tune", "best.json"),
        ],
        outputs=folder,
        of={"seed": params.sample},
    ) as run:
        learned = learn_relationship(splits, len(classes), temperature, section)
        relationship = learned.relationship
        found = diagnose(learned, splits, classes, temperature)
        store.save_relationship(relationship, temperature, best.source_weight)
        write_json(folder / "diagnostics.json", found)
        write_csv(
            folder / "top_categories.csv",
            top_categories(relationship, classes, categories, section.top_categories),
        )
        draw(relationship, classes, categories, folder / "relationship.png")
        g = {name: value for name, value in found["classifier"].items() if name != "class_accuracy"}
        knows = {f"knowledge_{name}": value for name, value in (found["knowledge"] or {}).items()}
        run.log_metrics({"leep": found["leep"], "nce": found["nce"], **g, **knows})


def diagnose(
    learned: Learned,
    splits: dict[str, SplitLogits],
    classes: list[str],
    temperature: float,
) -> dict[str, Any]:
    """Scores of the transfer and warnings, as JSON values; classes by name."""
    relationship, classifier = learned.relationship, learned.classifier
    train, validation = splits["train"], splits["validation"]
    probabilities = F.softmax(train.logits.double() / temperature, dim=1)
    similar = diagnostics.most_similar_rows(relationship)
    majority = diagnostics.majority_accuracy(validation.labels)
    predicted = classifier.predict(F.softmax(validation.logits.double() / temperature, dim=1))
    right = (predicted == validation.labels).double()
    found: dict[str, Any] = {
        "direction": learned.direction,
        "pseudo_samples": learned.pseudo_samples,
        "selection": learned.selection,
        "knowledge": asdict(learned.knowledge) if learned.knowledge else None,
        "confidence": mean_confidence(splits),
        "leep": diagnostics.leep_score(probabilities, train.labels, len(classes)),
        "nce": diagnostics.nce_score(probabilities, train.labels, len(classes)),
        "row_entropy": by_class(classes, diagnostics.row_entropies(relationship).tolist()),
        "most_similar_rows": {
            "first": classes[similar.first],
            "second": classes[similar.second],
            "cosine": similar.cosine,
        },
        "classifier": {
            "validation_accuracy": classifier.validation_accuracy,
            "majority_accuracy": majority,
            "class_accuracy": by_class(
                classes, diagnostics.class_means(right, validation.labels, len(classes)).tolist()
            ),
            "inverse_regularization": classifier.inverse_regularization,
            "scale": classifier.scale,
            "scale_at_bound": classifier.scale_at_bound,
        },
    }
    return found | {"warnings": warnings(found)}


def draw(relationship: Tensor, classes: list[str], categories: list[str], path: Path) -> None:
    """The heat map; matplotlib is loaded now, when all numbers are there."""
    from pipeline.report.figures import relationship_heat_map, save_figure

    save_figure(relationship_heat_map(relationship.numpy(), classes, categories), path)


def mean_confidence(splits: dict[str, SplitLogits]) -> float:
    """Of the uncalibrated source model on the images of train and validation, in (0, 1]."""
    probabilities, _ = source_predictions(splits, 1.0)
    return float(probabilities.amax(dim=1).mean())


def warnings(found: dict[str, Any]) -> list[str]:
    """What in the diagnostics speaks against trusting the relationship."""
    similar, classifier = found["most_similar_rows"], found["classifier"]
    knowledge = found["knowledge"]
    messages = []
    majority = classifier["majority_accuracy"]
    # The reverse way may explain predictions badly and yet tell the classes apart.
    if (
        knowledge
        and knowledge["nats"] < CERTAIN * knowledge["standard_error"]
        and knowledge["accuracy"] < majority + NEAR_MAJORITY
    ):
        messages.append(
            "the relationship knows nothing of images that it was not learned from "
            f"({knowledge['nats']:+.2f} nats, standard error {knowledge['standard_error']:.2f}; it "
            f"classifies {knowledge['accuracy']:.1%} of them rightly, majority class "
            f"{majority:.1%}): Co-Tuning can hardly gain from it"
        )
    if knowledge and found["confidence"] - knowledge["accuracy"] > SURE_BY_MUCH:
        messages.append(
            f"the source model is sure of itself (mean confidence {found['confidence']:.0%}), yet "
            f"its predictions tell the classes of only {knowledge['accuracy']:.0%} of held-out "
            "images: they may be too small for it, or of a kind that it does not know"
        )
    if similar["cosine"] >= SIMILAR_ROWS:
        messages.append(
            f"{similar['first']} and {similar['second']} have nearly the same row (cosine "
            f"{similar['cosine']:.3f}): the source head pulls them together"
        )
    if classifier["validation_accuracy"] < majority + NEAR_MAJORITY:
        messages.append(
            "the source predictions hardly tell the target classes apart (accuracy of g "
            f"{classifier['validation_accuracy']:.3f}, majority class "
            f"{classifier['majority_accuracy']:.3f}): a large source weight can hurt"
        )
    if classifier["scale_at_bound"]:
        messages.append(
            "the calibration of g has no optimum on the validation split, which is too small, "
            "too easy or unrelated to the source categories"
        )
    return messages


def top_categories(
    relationship: Tensor, classes: list[str], categories: list[str], count: int
) -> pd.DataFrame:
    """Columns class, rank (from 1), category, probability: the largest entries of each row."""
    top = relationship.topk(min(count, len(categories)), dim=1)
    return pd.DataFrame(
        [
            (name, rank, categories[index], probability)
            for name, indices, values in zip(
                classes, top.indices.tolist(), top.values.tolist(), strict=True
            )
            for rank, (index, probability) in enumerate(zip(indices, values, strict=True), 1)
        ],
        columns=["class", "rank", "category", "probability"],
    )
