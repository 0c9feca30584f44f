"""A report's results and exhibits, made up, of any number of classes; with names that bite."""

from dataclasses import replace

import numpy as np
import pandas as pd
from report_results import results

from pipeline.report.page import Exhibits
from pipeline.report.page_images import disputed_images
from pipeline.report.results import Results

HOSTILE = '<script>document.title = "taken"</script>'
CATEGORY = '</script><img src="x" onerror="document.title = 1">, & "quoted"'
IMAGES = 24


def page_results(count: int = 2) -> Results:
    """As of report_results, of `count` classes, the first of which is HOSTILE."""
    classes = [HOSTILE, *(f"class {number}" for number in range(1, count))]
    plain = results()
    top = [(name, 1, CATEGORY, 0.25) for name in classes]
    diagnostics = dict(plain.diagnostics) | {
        "row_entropy": dict.fromkeys(classes, 0.5),
        "most_similar_rows": {"first": HOSTILE, "second": classes[1], "cosine": 0.97},
        "warnings": [f"{HOSTILE} and {classes[1]} have nearly the same row"],
    }
    gains = {"class": classes, "images": 20, "vanilla": 0.5, "co_tuning": 0.6, "difference": 0.1}
    gains |= {"low": -0.05, "high": 0.25, "row_entropy": 0.5, "g_accuracy": 0.5}
    head = {name: {"mean": 1.5} for name in ("before", "after", "uniform")}
    return replace(
        plain,
        classes=classes,
        diagnostics=diagnostics,
        top_categories=pd.DataFrame(top, columns=["class", "rank", "category", "probability"]),
        gains=pd.DataFrame(gains),
        source_heads={"vanilla": head, "co-tuning": head},
    )


def page_exhibits(found: Results, source: int = 6) -> Exhibits:
    """A random relationship to `source` categories, and images of noise."""
    rng = np.random.default_rng(0)
    count = len(found.classes)
    categories = [CATEGORY, *(f"category {number}" for number in range(1, source))]
    return Exhibits(
        rng.dirichlet(np.full(source, 0.3), count),
        categories,
        disputed_images(
            {method: random_predictions(count, seed) for seed, method in enumerate(found.metrics)},
            found.classes,
            rng.integers(0, 256, (50, 96, 96, 3), dtype=np.uint8),
            IMAGES,
        ),
    )


def random_predictions(classes: int, seed: int) -> pd.DataFrame:
    """Of 40 images, whose rows are 5 to 44, in no order."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.arange(5, 45))
    confidence = rng.uniform(0.5, 1, len(rows))
    right = rng.random(len(rows)) < 0.5
    label = rows % classes
    return pd.DataFrame(
        {
            **{"row": rows, "path": [f"{row}.png" for row in rows], "label": label},
            "prediction": np.where(right, label, (label + 1) % classes),
            "confidence": confidence,
            "nll": -np.log(np.where(right, confidence, 1 - confidence)),
        }
    )
