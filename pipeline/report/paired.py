"""Whether two methods differ beyond the noise, on the same images of the same samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import bdtr  # scipy.stats takes half a second to load

from pipeline.report.metrics import CALIBRATED, METRICS, percentile_interval, resampled

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class PairedDifference:
    """The accuracy of the second method minus that of the first, mean over samples.

    Attributes:
        difference: in [-1, 1]; positive where the second is better.
        low, high: 95% interval of the difference.
        p_value: of the exact McNemar test that both are right equally often, in (0, 1]; None with
            several samples, which it does not cover.
        only_first_right, only_second_right: images on which the two disagree, of all samples.
        images: on which both were judged.
        by_sample: the difference of each sample.
    """

    difference: float
    low: float
    high: float
    p_value: float | None
    only_first_right: int
    only_second_right: int
    images: int
    by_sample: tuple[float, ...]

    @property
    def exceeds_noise(self) -> bool:
        """The interval leaves out 0 and, where there is one, the test rejects at 5%."""
        rejected = self.p_value is None or self.p_value < SIGNIFICANCE
        return (self.low > 0 or self.high < 0) and rejected


def paired_difference(
    first: Sequence[pd.DataFrame], second: Sequence[pd.DataFrame], resamples: int, seed: int
) -> PairedDifference:
    """Compare two methods sample by sample and image by image.

    For the interval the samples are resampled, then the images of each. Only images on which one is
    right and the other is wrong decide; their numbers in a resample of the images are multinomial,
    so they are drawn as such.

    Args:
        first, second: of each sample the predictions of the same images, in any order.
        resamples: how many data sets are drawn for the interval.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: the images of a sample or their labels differ, or there are none.

    Source: McNemar, Psychometrika 12, 1947; exact, two-sided.
    """
    counts = np.array([_disagreements(*pair) for pair in zip(first, second, strict=True)])
    samples, images = len(counts), counts.sum(axis=1)
    generator = np.random.default_rng(seed)
    size = (resamples, samples)
    drawn = np.stack(
        [generator.multinomial(sum(count), count / sum(count), size) for count in counts], axis=-2
    )
    chosen = generator.integers(0, samples, size)
    differences = (drawn[..., 1] - drawn[..., 0]) / images
    means = np.take_along_axis(differences, chosen[..., None], axis=-1)[..., 0].mean(axis=1)
    low, high = percentile_interval(means)
    by_sample = (counts[:, 1] - counts[:, 0]) / images
    losses, gains = (int(total) for total in counts[:, :2].sum(axis=0))
    # Two-sided: at even odds both tails are alike.
    p_value = min(1.0, 2 * float(bdtr(min(gains, losses), gains + losses, 0.5)))
    return PairedDifference(
        float(by_sample.mean()),
        *(low, high, p_value if samples == 1 else None),
        *(losses, gains, int(images.sum())),
        tuple(by_sample.tolist()),
    )


def paired_loss(
    first: Sequence[pd.DataFrame],
    second: Sequence[pd.DataFrame],
    column: str,
    resamples: int,
    seed: int,
) -> tuple[float, float, float]:
    """Mean over samples of a loss of the second method minus that of the first, in nats.

    Args:
        first, second, resamples, seed: as in paired_difference, whose intervals these are too.
        column: of the tables, nll or calibrated_nll.

    Returns:
        The difference and the ends of its 95% interval.
    """
    differences = [
        (b.set_index("row")[column] - a.set_index("row")[column]).to_numpy()
        for a, b in zip(first, second, strict=True)
    ]
    draws = [
        np.mean([differences[number][images].mean() for number, images in drawn])
        for drawn in resampled([len(one) for one in differences], resamples, seed)
    ]
    low, high = percentile_interval(np.array(draws))
    return float(np.mean([one.mean() for one in differences])), low, high


def paired_losses(
    first: Sequence[pd.DataFrame], second: Sequence[pd.DataFrame], resamples: int, seed: int
) -> dict[str, tuple[float, float, float]]:
    """paired_loss of nll, and of calibrated_nll."""
    return {
        column: paired_loss(first, second, column, resamples, seed)
        for column in ("nll", f"{CALIBRATED}nll")
    }


def _disagreements(first: pd.DataFrame, second: pd.DataFrame) -> tuple[int, int, int]:
    """Images on which only the first, only the second, and both or none are right."""
    first, second = (table.set_index("row").sort_index() for table in (first, second))
    if not (first.index.is_unique and first.index.equals(second.index)):
        common = len(first.index.intersection(second.index))
        raise ValueError(
            f"the two tables must hold the same images once each: the first has {len(first)}, "
            f"the second {len(second)}, {common} are in both"
        )
    if differing := int((first["label"] != second["label"]).sum()):
        raise ValueError(f"the two tables must agree on the labels; {differing} images differ")
    if len(first) == 0:
        raise ValueError("two methods cannot be compared on zero images")
    right = [(table["prediction"] == table["label"]).to_numpy() for table in (first, second)]
    losses, gains = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return losses, gains, len(first) - losses - gains


def comparison_table(
    metrics: Mapping[str, Mapping[str, Any]], differences: Mapping[str, PairedDifference]
) -> pd.DataFrame:
    """A row a method: its metrics with their intervals, its difference in accuracy to vanilla.

    Columns method; <metric>, <metric>_low, <metric>_high; difference_to_vanilla, difference_low,
    difference_high, p_value, which are empty for a method without a difference.

    Args:
        metrics: by method, the metrics and under `intervals` their two ends.
        differences: by method, to vanilla.
    """
    rows = []
    for method, values in metrics.items():
        row: dict[str, Any] = {"method": method}
        for name in METRICS:
            low, high = values["intervals"][name]
            row |= {name: values[name], f"{name}_low": low, f"{name}_high": high}
        found = differences.get(method)
        row["difference_to_vanilla"] = found.difference if found else None
        row["difference_low"] = found.low if found else None
        row["difference_high"] = found.high if found else None
        row["p_value"] = found.p_value if found else None
        rows.append(row)
    return pd.DataFrame(rows)
