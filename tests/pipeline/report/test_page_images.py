"""The test images on which methods differ."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from page_exhibits import random_predictions
from PIL import Image

from pipeline.report.page_images import disputed_images

CLASSES = ["red", "green", "blue"]
# A channel each; the row is written into its brightness.
IMAGES = np.zeros((50, 64, 64, 3), np.uint8)
IMAGES[...] = np.arange(50, dtype=np.uint8)[:, None, None, None] * 5


def test_the_images_come_by_how_far_apart_the_methods_are() -> None:
    tables = {name: random_predictions(3, seed) for seed, name in enumerate("abc")}
    found = disputed_images(tables, CLASSES, IMAGES, 10)
    by_row = [table.set_index("row")["nll"] for table in tables.values()]
    spread = {
        row: max(np.exp(-nll[row]) for nll in by_row) - min(np.exp(-nll[row]) for nll in by_row)
        for row in by_row[0].index
    }
    expected = sorted(spread, key=lambda row: -spread[row])[:10]
    assert [image.path for image in found] == [f"{row}.png" for row in expected]


def test_an_image_has_what_each_method_said_of_it() -> None:
    tables = {name: random_predictions(3, seed) for seed, name in enumerate("ab")}
    for image in disputed_images(tables, CLASSES, IMAGES, 40):
        row = int(image.path.removesuffix(".png"))
        assert image.truth == CLASSES[row % 3]
        for said in image.said:
            entry = tables[said.method].set_index("row").loc[row]
            assert said.prediction == CLASSES[entry["prediction"]]
            assert said.right == (said.prediction == image.truth)
            assert said.confidence == entry["confidence"]
            assert said.of_truth == pytest.approx(np.exp(-entry["nll"]))
        assert all(said.of_truth <= max(s.of_truth for s in image.said) for said in image.said)
        picture = Image.open(BytesIO(b64decode(image.picture.partition(",")[2])))
        assert np.abs(np.asarray(picture).astype(int) - 5 * row).max() <= 3


def test_methods_that_say_the_same_dispute_nothing() -> None:
    table = random_predictions(3, 0)
    assert disputed_images({"a": table, "b": table}, CLASSES, IMAGES, 10) == []
    assert disputed_images({"a": table}, CLASSES, IMAGES, 10) == []


def test_a_large_image_becomes_a_thumbnail() -> None:
    rows = pd.DataFrame({"row": [0], "path": "x", "label": 0, "prediction": 0, "confidence": 0.9})
    tables = {"a": rows.assign(nll=0.1), "b": rows.assign(nll=0.2)}
    (image,) = disputed_images(tables, CLASSES, np.zeros((1, 600, 600, 3), np.uint8), 5)
    assert Image.open(BytesIO(b64decode(image.picture.partition(",")[2]))).size == (144, 144)
