"""The report stage, on artifacts as the other stages write them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from finished_project import CLASSES, TEST, write_project
from mlflow import MlflowClient

from pipeline.artifacts import Store
from pipeline.common.errors import UserError
from pipeline.common.formats import write_csv
from pipeline.params import Params
from pipeline.params.sections import FineTune
from stages import report


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
