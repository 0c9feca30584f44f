"""Artifacts as the stages before the report write them."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pipeline.artifacts import Best, Calibration, Store
from pipeline.common.formats import write_csv, write_json
from pipeline.cotuning.reliability import bin_confidences
from pipeline.report.figures import (
    confusion_matrix,
    relationship_heat_map,
    reliability_diagram,
    save_figure,
)
from pipeline.report.metrics import bootstrap_intervals, classification_metrics
from pipeline.report.trials_figure import tune_trials
from pipeline.search.choice import Gain, Recommendation
from pipeline.search.difference import Difference

CLASSES = ["007", "NA", "a|b"]
TEST, TRAIN = 300, 30


def write_project(root: Path, methods: dict[str, float]) -> Store:
    """A finished pipeline; `methods` gives each method's accuracy."""
    store = Store(root)
    rng = np.random.default_rng(0)
    splits = ["train"] * TRAIN + ["validation"] * 9 + ["test"] * TEST
    labels = np.arange(len(splits)) % len(CLASSES)
    manifest = pd.DataFrame({"row": range(len(splits)), "split": splits, "label": labels})
    store.save_manifest(manifest.assign(path="x.png"), CLASSES, [])
    images = rng.integers(0, 256, (len(splits), 16, 16, 3), dtype=np.uint8)
    np.save(store.path("prepare-data", "images.npy"), images)
    for method, accuracy in methods.items():
        write_evaluation(store, method, manifest[manifest["split"] == "test"], accuracy)
        epochs = np.arange(1, 6)
        history = {"epoch": epochs, "learning_rate": 0.1, "target_loss": 1 / epochs}
        history |= {"validation_nll": 1 / epochs, "validation_accuracy": 1 - 0.5 / epochs}
        history |= {"kept": epochs == epochs.max()}
        write_csv(store.folder("fine-tune", method) / "history.csv", pd.DataFrame(history))
    sizes = {"network_input": 112, "stored": 128, "published": 224}
    write_json(store.path("extract-logits", "sizes.json"), sizes)
    write_json(store.path("extract-logits", "categories.json"), list("vwxyz"))
    store.save_calibration(Calibration(8.0, "target-likelihood", True, 1.2, 1.1, 0.2, 0.1))
    curve = bin_confidences(rng.random(100), (rng.random(100) < 0.5).astype(float))
    save_figure(reliability_diagram(curve, curve), store.folder("calibrate") / "reliability.png")
    write_tuning(store)
    write_relationship(store)
    return store


def write_evaluation(store: Store, method: str, test: pd.DataFrame, accuracy: float) -> None:
    label = test["label"].to_numpy()
    right = np.arange(len(label)) < accuracy * len(label)
    predictions = pd.DataFrame(
        {
            "row": test["row"],
            "path": "x.png",
            "label": label,
            "prediction": np.where(right, label, (label + 1) % len(CLASSES)),
            "confidence": 0.8,
            "nll": np.where(right, 0.2, 2.0),
            "calibrated_confidence": 0.75,
            "calibrated_nll": np.where(right, 0.3, 1.5),
        }
    )
    metrics = classification_metrics(predictions, len(CLASSES))
    intervals = bootstrap_intervals([predictions], len(CLASSES), 100, 0)
    folder = store.folder("evaluate", method)
    write_csv(folder / "predictions.csv", predictions)
    own = {"own_temperature": 8.0, "own_temperature_at_bound": 1.0}
    write_json(folder / "metrics.json", metrics | own | {"intervals": intervals})
    figure = confusion_matrix(label, predictions["prediction"].to_numpy(), CLASSES)
    save_figure(figure, folder / "confusion_matrix.png")
    moved = {"vanilla": 2.5, "co-tuning": 0.5}[method]
    means = {"before": 4.0, "after": moved, "uniform": 1.0}
    write_json(folder / "source_head.json", {name: {"mean": mean} for name, mean in means.items()})


def write_tuning(store: Store) -> None:
    trials = pd.DataFrame(
        {
            "number": [0, 1, 2],
            "state": ["COMPLETE", "COMPLETE", "PRUNED"],
            "source_weight": [0.0, 2.3, 4.0],
            "temperature_factor": 1.0,
            "temperature": [8.0, 8.0, 9.0],
            "held_out_nll": [0.9, 0.7, None],
            "held_out_accuracy": [0.6, 0.7, None],
            "gain": [None, 0.2, None],
            "gain_low": [None, 0.1, None],
            "gain_high": [None, 0.3, None],
            "folds": [5, 5, 3],
            "seconds": 1.0,
        }
    )
    write_csv(store.folder("tune") / "trials.csv", trials)
    save_figure(tune_trials(trials, 2.3), store.folder("tune") / "trials.png")
    gain = Gain(Difference(0.2, 0.05, 0.1, 0.3), Difference(0.1, 0.06, -0.02, 0.22))
    found = Recommendation("co-tuning", "vanilla", gain.log_likelihood)
    store.save_best(Best(2.3, 1.0, 3, {"co-tuning": gain}, found))


def write_relationship(store: Store) -> None:
    folder = store.folder("fit-relationship")
    relationship = np.eye(3, 5) * 0.8 + 0.04
    save_figure(
        relationship_heat_map(relationship, CLASSES, list("vwxyz")), folder / "relationship.png"
    )
    store.save_relationship(torch.from_numpy(relationship), 8.0, 2.3)
    top = [(name, 1, source, 0.84) for name, source in zip(CLASSES, "vwx", strict=True)]
    columns = ["class", "rank", "category", "probability"]
    write_csv(folder / "top_categories.csv", pd.DataFrame(top, columns=columns))
    classifier = {"validation_accuracy": 0.7, "majority_accuracy": 0.34}
    classifier |= {"class_accuracy": {"007": 0.75, "NA": None, "a|b": 0.5}}
    classifier |= {"inverse_regularization": 1.0, "scale": 2.0, "scale_at_bound": False}
    diagnostics = {
        **{"direction": "reverse", "pseudo_samples": 0.0, "knowledge": None},
        "selection": "validation-accuracy",
        "leep": -0.5,
        "nce": -0.6,
        "row_entropy": dict.fromkeys(CLASSES, 0.7),
        "most_similar_rows": {"first": "007", "second": "NA", "cosine": 0.96},
        "classifier": classifier,
        "warnings": ["007 and NA have nearly the same row"],
    }
    write_json(folder / "diagnostics.json", diagnostics)
