"""The picture of a search: what each candidate gains over vanilla on held-out images."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.report.figures import GREY, ORANGE, colour_bar, new_figure, styled


@styled()
def tune_trials(trials: pd.DataFrame, chosen: float) -> Figure:
    """Gain in held-out log-likelihood against source weight, coloured by temperature.

    Args:
        trials: of trials_table; what has no gain is left out.
        chosen: the source weight that is ringed.
    """
    trials = trials.dropna(subset=["gain"])
    weight, gain, temperature = (
        trials[name].to_numpy(float) for name in ("source_weight", "gain", "temperature")
    )
    labels = "source weight", "gain over vanilla (nats, 95% interval)"
    figure, axes = new_figure(7.0, 4.4, "Candidates on held-out images", *labels)
    drawn = axes.scatter(weight, gain, 60, temperature, cmap="viridis", label="co-tuning", zorder=3)
    for x, low, high in trials[["source_weight", "gain_low", "gain_high"]].to_numpy(float):
        axes.plot([x, x], [low, high], color=GREY, linewidth=3, alpha=0.4)
    axes.axhline(0, color=GREY, linewidth=1.2, linestyle="--", label="vanilla", zorder=0)
    ringed = weight == chosen
    if ringed.any():
        spots = weight[ringed], gain[ringed]
        axes.plot(*spots, "o", color=ORANGE, markersize=15, fillstyle="none", mew=2, label="chosen")
    axes.margins(0.08)
    if len(trials):
        axes.set_xlim(0, 1.1 * weight.max())
    if len(set(temperature)) > 1:
        colour_bar(figure, axes, drawn, "temperature")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
