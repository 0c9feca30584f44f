"""What co-tuning gains by class, against scikit-learn and SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, rankdata
from sklearn.metrics import recall_score

from pipeline.report.class_gains import class_gains, rank_correlation
from pipeline.report.paired import paired_difference

CLASSES = ["NA", "001", "ä", "without test image"]
DIAGNOSTICS = {
    "row_entropy": dict(zip(CLASSES, [1.5, 0.5, 2.5, 3.0], strict=True)),
    "classifier": {"class_accuracy": dict(zip(CLASSES, [0.5, None, 0.75, 1.0], strict=True))},
}


def predictions(seed: int, accuracy: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = np.arange(120) % 3
    guess = rng.integers(0, 4, 120)
    predicted = np.where(rng.random(120) < accuracy, label, guess)
    return pd.DataFrame({"row": np.arange(120), "label": label, "prediction": predicted})


@pytest.fixture
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of vanilla and, in another order of the images, of co-tuning."""
    return predictions(0, 0.3), predictions(1, 0.6).sample(frac=1, random_state=0)


def test_recalls_are_those_of_scikit_learn(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    gains = class_gains(*tables, CLASSES, DIAGNOSTICS, 100, 0).set_index("class")
    for column, table in zip(("vanilla", "co_tuning"), tables, strict=True):
        reference = recall_score(
            table["label"], table["prediction"], labels=[0, 1, 2], average=None
        )
        assert gains.loc[CLASSES[:3], column].tolist() == pytest.approx(reference.tolist())
    difference = gains["co_tuning"] - gains["vanilla"]
    assert gains["difference"].tolist() == pytest.approx(difference.tolist())
    assert (gains["low"] <= gains["difference"]).all()
    assert (gains["difference"] <= gains["high"]).all()


def test_gains_weighted_by_images_are_the_gain_of_all(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    gains = class_gains(*tables, CLASSES, DIAGNOSTICS, 100, 0)
    whole = paired_difference(*([one] for one in tables), 100, 0)
    assert gains["images"].sum() == whole.images
    mean = np.average(gains["difference"], weights=gains["images"])
    assert mean == pytest.approx(whole.difference)


def test_the_largest_gain_comes_first_with_what_is_known_of_its_class(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    gains = class_gains(*tables, CLASSES, DIAGNOSTICS, 100, 0)
    assert gains["difference"].is_monotonic_decreasing
    assert set(gains["class"]) == set(CLASSES[:3])
    known = gains.set_index("class")
    assert known.loc[CLASSES[:3], "row_entropy"].tolist() == [1.5, 0.5, 2.5]
    assert known.loc[CLASSES[:3], "g_accuracy"].tolist() == pytest.approx(
        [0.5, np.nan, 0.75], nan_ok=True
    )


def test_images_of_one_method_alone_are_refused(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    first, second = tables
    for one, other in ((first, second[second["label"] != 1]), (first[first["label"] != 1], second)):
        with pytest.raises(ValueError, match="same images"):
            class_gains(one, other, CLASSES, DIAGNOSTICS, 100, 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_rank_correlation_is_pearsons_of_the_ranks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gains = pd.DataFrame({"difference": rng.normal(size=12), "g_accuracy": rng.integers(0, 5, 12)})
    gains = gains.astype(float)
    gains.loc[[2, 7], "g_accuracy"] = np.nan
    known = gains.dropna()
    found = rank_correlation(gains, "g_accuracy")
    assert found is not None
    reference = pearsonr(rankdata(known["difference"]), rankdata(known["g_accuracy"])).statistic
    assert found.coefficient == pytest.approx(reference)
    assert found.classes == 10


def test_unrelated_quantities_scatter_as_said() -> None:
    rng = np.random.default_rng(0)
    draws = [
        rank_correlation(pd.DataFrame(rng.normal(size=(8, 2)), columns=["difference", "x"]), "x")
        for _ in range(1500)
    ]
    coefficients = [draw.coefficient for draw in draws if draw is not None]
    assert draws[0] is not None
    assert np.std(coefficients) == pytest.approx(draws[0].chance, rel=0.08)


@pytest.mark.parametrize(
    ("differences", "values"),
    [
        ([0.1, 0.2], [1.0, 2.0]),
        ([0.1, 0.2, 0.3], [1.0, 1.0, 1.0]),
        ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]),
        ([0.1, 0.2, 0.3], [1.0, 2.0, np.nan]),
    ],
)
def test_without_an_order_there_is_no_rank_correlation(
    differences: list[float], values: list[float]
) -> None:
    gains = pd.DataFrame({"difference": differences, "row_entropy": values})
    assert rank_correlation(gains, "row_entropy") is None
