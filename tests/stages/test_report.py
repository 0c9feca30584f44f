"""The report stage, on artifacts as the other stages write them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from pipeline.artifacts import Best, Calibration, Store
from pipeline.common.errors import UserError
from pipeline.common.formats import write_csv, write_json
from pipeline.cotuning.calibration import bin_confidences
from pipeline.params import Params
from pipeline.params.sections import FineTune
from pipeline.report.figures import (
    confusion_matrix,
    relationship_heat_map,
    reliability_diagram,
    save_figure,
)
from pipeline.report.metrics import bootstrap_intervals, classification_metrics
from pipeline.report.trials_figure import tune_trials
from pipeline.search.choice import Gain, Recommendation
from pipeline.search.evidence import Difference
from stages import report

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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a project whose report was made."""
    root = tmp_path_factory.mktemp("project")
    write_project(root, {"vanilla": 0.70, "co-tuning": 0.80})
    (root / "params.yaml").touch()
    with pytest.MonkeyPatch.context() as environment:
        environment.chdir(root)
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        report.run(Params())
    return root


def test_the_report_answers_first_and_shows_pictures_that_exist(finished: Path) -> None:
    folder = finished / "data" / "report"
    text = (folder / "report.md").read_text()
    assert text.splitlines()[2].startswith(
        "**Recommended: Co-Tuning** (`data/fine-tune/co-tuning`)"
    )
    assert "better than vanilla fine-tuning beyond the noise: +10.0" in text.splitlines()[4]
    assert "| vanilla | 8.00 (bound) |" in text
    assert "300 test images of 3 classes, after training on 10 images a class" in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert {"comparison.png", "training.png", "trials.png", "relationship.png"} < set(links)
    assert all((folder / link).is_file() for link in links)
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures == {link for link in links if link.endswith(".png")}


def test_class_names_that_look_like_numbers_or_nothing_survive(finished: Path) -> None:
    text = (finished / "data" / "report" / "report.md").read_text()
    assert "| 007 | v 84.0% |" in text
    assert "| NA | w 84.0% |" in text
    assert r"| a\|b | x 84.0% |" in text


def test_the_table_holds_the_metrics_and_the_difference(finished: Path) -> None:
    table = pd.read_csv(finished / "data" / "report" / "comparison.csv", index_col="method")
    assert table.loc["co-tuning", "accuracy"] == pytest.approx(0.8)
    assert table.loc["co-tuning", "difference_to_vanilla"] == pytest.approx(0.1)
    assert table.loc["co-tuning", "p_value"] == pytest.approx(2.0**-29)
    assert np.isnan(table.loc["vanilla", "p_value"])


def test_the_run_is_tracked_with_its_inputs(finished: Path) -> None:
    recorded = json.loads((finished / "data" / "report" / "run.json").read_text())
    assert (finished / "mlflow.db").exists()
    assert recorded["experiment"] == "co-tuning"
    artifacts = MlflowClient(f"sqlite:///{finished / 'mlflow.db'}").list_artifacts(
        recorded["run_id"]
    )
    assert {"report.md", "report.html"} <= {artifact.path for artifact in artifacts}


def test_the_page_shows_the_disputed_images_of_the_test_split(finished: Path) -> None:
    text = (finished / "data" / "report" / "report.html").read_text()
    found = report.load_exhibits(Store(finished), Params()).disputed
    assert len(found) == report.DISPUTED_IMAGES
    assert all(image.nearest == "co-tuning" for image in found)
    assert all(text.count(f'src="{image.picture}"') == 1 for image in found)
    assert "co-tuning comes nearest to the truth" in text


def test_dvc_is_given_the_accuracies_and_tables_to_draw(finished: Path) -> None:
    folder = Store(finished).folder("report")
    accuracies = json.loads((folder / "accuracy.json").read_text())
    gain = accuracies.pop("gain")
    assert accuracies == pytest.approx({"vanilla": 0.7, "co-tuning": 0.8})
    assert 0 < gain["low"] < 0.1 < gain["high"]
    confusion = pd.read_csv(folder / "confusion/co-tuning.csv", dtype=str, na_filter=False)
    assert set(confusion["true_class"]) == set(confusion["predicted_class"]) == set(CLASSES)
    assert (confusion["true_class"] == confusion["predicted_class"]).mean() == pytest.approx(0.8)
    reliability = pd.read_csv(folder / "reliability/co-tuning.csv")
    assert reliability.to_dict("records") == [
        {"confidence": pytest.approx(0.8), "accuracy": pytest.approx(0.8), "images": TEST}
    ]


def test_one_method_alone_gives_a_report_without_a_comparison(finished: Path) -> None:
    params = Params(fine_tune=FineTune(methods=("co-tuning",)))
    results = report.gather(Store(finished), params, set())
    assert results.differences == {}
    assert "beyond the noise" not in report.render_report(results)


def test_the_report_compares_class_by_class_with_vanilla(finished: Path) -> None:
    text = (finished / "data" / "report" / "report.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if " | 100 | " in line]
    assert [row[0] for row in rows] == ["| 007", "| NA", r"| a\|b"]
    assert {(row[2], row[3], row[4].split()[0]) for row in rows} == {("70.0%", "80.0%", "+10.0")}
    assert [row[6] for row in rows] == ["75% |", "not known |", "50% |"]
    assert "](class-gains.png)" in text
    assert "from 4.00 to 0.50 nats" in text


@pytest.mark.parametrize("method", ["vanilla", "co-tuning"])
def test_one_method_alone_has_no_gains(finished: Path, method: str) -> None:
    params = Params(fine_tune=FineTune(methods=(method,)))
    results = report.gather(Store(finished), params, {"class-gains.png"})
    text = report.render_report(results)
    assert results.gains.empty
    assert "class-gains.png" not in text
    assert ("The source head has moved" in text) is (method == "co-tuning")


def test_predictions_of_another_test_split_are_refused(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "data", tmp_path / "data")
    store = Store(tmp_path)
    path = store.folder("evaluate", "vanilla") / "predictions.csv"
    write_csv(path, pd.read_csv(path).iloc[:-1])
    with pytest.raises(
        UserError, match=r"vanilla/seed-0/predictions\.csv is not of the present test"
    ):
        report.gather(store, Params(), set())
