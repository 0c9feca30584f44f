"""The test images on which the methods differ most, and what each said of them."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd
from PIL import Image

THUMBNAIL = 144  # pixels, the longer side at most


@dataclass(frozen=True)
class Said:
    """What a method said of an image.

    Attributes:
        prediction: the class that it took.
        right: whether that is the true one.
        confidence, of_truth: its probability of that class and of the true one, in [0, 1].
    """

    method: str
    prediction: str
    right: bool
    confidence: float
    of_truth: float


@dataclass(frozen=True)
class DisputedImage:
    """An image, as a data URI, and what each method said of it; path is that of the manifest."""

    path: str
    truth: str
    picture: str
    said: Sequence[Said]

    @property
    def nearest(self) -> str:
        """The method that gave the true class the highest probability."""
        return max(self.said, key=lambda one: one.of_truth).method


def disputed_images(
    predictions: Mapping[str, pd.DataFrame],
    classes: Sequence[str],
    images: np.ndarray,
    count: int,
) -> list[DisputedImage]:
    """Up to `count` images, those first whose true class has the most different probabilities.

    Images of which all methods say the same are left out.

    Args:
        predictions: by method, of the same images, see pipeline.report.metrics.
        classes: names, in label order.
        images: uint8 [N, side, side, 3]; a prediction's `row` is a place in it.
    """
    tables = {name: table.set_index("row") for name, table in predictions.items()}
    of_truth = pd.DataFrame({name: np.exp(-table["nll"]) for name, table in tables.items()})
    spread = of_truth.max(axis=1) - of_truth.min(axis=1)
    chosen = spread[spread > 0].sort_values(ascending=False, kind="stable").index[:count]
    found = []
    for row in chosen:
        entries = {name: table.loc[row] for name, table in tables.items()}
        first = next(iter(entries.values()))
        said = [
            Said(
                name,
                classes[int(entry["prediction"])],
                bool(entry["prediction"] == entry["label"]),
                float(entry["confidence"]),
                float(of_truth.loc[row, name]),
            )
            for name, entry in entries.items()
        ]
        picture = thumbnail(images[int(row)])
        found.append(DisputedImage(str(first["path"]), classes[int(first["label"])], picture, said))
    return found


def thumbnail(image: np.ndarray) -> str:
    """A uint8 image [height, width, 3], made smaller, as a data URI."""
    small = Image.fromarray(image)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    written = BytesIO()
    small.save(written, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{b64encode(written.getvalue()).decode()}"
