"""What co-tuning gains over vanilla fine-tuning, class by class."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pipeline.report.paired import paired_difference


class RankCorrelation(NamedTuple):
    """Spearman's coefficient, in [-1, 1], over so many classes."""

    coefficient: float
    classes: int

    @property
    def chance(self) -> float:
        """Standard deviation of the coefficient of unrelated quantities, in (0, 1).

        Source: Kendall, Rank Correlation Methods, 1948, chapter 5.
        """
        return (self.classes - 1) ** -0.5


def class_gains(
    vanilla: pd.DataFrame,
    co_tuning: pd.DataFrame,
    classes: Sequence[str],
    diagnostics: Mapping[str, Any],
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """A row a class that has test images, the largest gain first.

    Columns class; images (of the test); vanilla, co_tuning (recall, in [0, 1]); difference (the
    second minus the first) with low and high (its 95% interval); row_entropy (of the class's row
    of R, in nats); g_accuracy (of g on the class's validation images, in [0, 1], NaN without any).

    Args:
        vanilla, co_tuning: predictions of the same images, see pipeline.report.metrics.
        classes: names, in label order.
        diagnostics: of fit-relationship.
        resamples, seed: of the intervals.

    Raises:
        ValueError: the images or their labels differ.
    """
    entropies = diagnostics["row_entropy"]
    accuracies = diagnostics["classifier"]["class_accuracy"]
    rows = []
    for label, name in enumerate(classes):
        first, second = (table[table["label"] == label] for table in (vanilla, co_tuning))
        if first.empty and second.empty:
            continue
        found = paired_difference([first], [second], resamples, seed)
        recalls = [float((table["prediction"] == label).mean()) for table in (first, second)]
        interval = found.difference, found.low, found.high
        rows.append((name, found.images, *recalls, *interval, entropies[name], accuracies[name]))
    columns = ["class", "images", "vanilla", "co_tuning", "difference", "low", "high"]
    table = pd.DataFrame(rows, columns=[*columns, "row_entropy", "g_accuracy"])
    table = table.astype({"row_entropy": float, "g_accuracy": float})
    return table.sort_values("difference", ascending=False, kind="stable", ignore_index=True)


def rank_correlation(gains: pd.DataFrame, column: str) -> RankCorrelation | None:
    """Spearman's, of the difference and another column, over the classes that have both.

    None where it is not defined: fewer than three classes, or one of the two is constant.
    """
    known = gains[[column, "difference"]].dropna()
    if len(known) < 3 or (known.nunique() == 1).any():
        return None
    ranks = known.rank()  # Spearman's is Pearson's of the ranks
    coefficient = float(ranks[column].corr(ranks["difference"]))
    return RankCorrelation(coefficient, len(known))
