"""The picture of a ranking of source models."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter, StrMethodFormatter

from pipeline.report.figures import BLUE, new_figure, styled


@styled()
def accuracy_against_cost(ranking: pd.DataFrame, samples: str = "images") -> Figure:
    """Accuracy of the linear probe against images a second, with the model's name at each point.

    Args:
        ranking: columns name, linear_probe_accuracy in [0, 1], images_per_second.
        samples: what the models are scored on; or words, and the column is words_per_second.
    """
    speed = f"{samples}_per_second"
    labels = f"{samples} a second", f"accuracy of a linear probe on held-out {samples}"
    figure, axes = new_figure(7.0, 4.4, "Source models", *labels)
    axes.scatter(ranking[speed], ranking["linear_probe_accuracy"], color=BLUE)
    for _, row in ranking.iterrows():
        place = row[speed], row["linear_probe_accuracy"]
        axes.annotate(row["name"], place, (5, 5), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    # Where hardly one of 1, 2 and 5 lies among the speeds, this locator spaces them evenly.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.margins(x=0.2, y=0.15)
    return figure
