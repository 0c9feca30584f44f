"""Picture of the gain of training against what the relationship knew before it."""

import pandas as pd
from matplotlib.figure import Figure

from pipeline.claims.sweep_figures import show_points
from pipeline.report.figures import BLUE, DPI, FURTHER_COLOURS, GREY, styled

LABELS = {
    "knowledge_nats": "knowledge of R (nats, cross-validated)",
    "knowledge_accuracy": "accuracy of classifying held-out images by R",
    "knowledge_log_likelihood": "log-likelihood of classifying held-out images by R (nats)",
}


@styled()
def gain_against_knowledge(means: pd.DataFrame, correlations: pd.DataFrame) -> Figure:
    """A panel a measure of knowledge, a point a study and way; controls are hollow.

    Args:
        means: of gain.over_seeds.
        correlations: of gain.rank_correlations.
    """
    figure = Figure(figsize=(12.5, 4.8), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(LABELS), sharey=True)
    colours = dict(zip(means["study"].unique(), (BLUE, *FURTHER_COLOURS), strict=False))
    for axes, (measure, label) in zip(panels, LABELS.items(), strict=True):
        for (study, is_control), rows in means.groupby(["study", "control"], sort=False):
            colour = colours[study]
            axes.errorbar(
                rows[measure],
                rows["accuracy_gain"],
                rows["accuracy_gain_error"].fillna(0),
                linestyle="none",
                marker="o",
                markersize=6,
                color=colour,
                markerfacecolor="white" if is_control else colour,
                elinewidth=1,
                label=f"{study}, control" if is_control else study,
            )
        axes.axhline(0, color=GREY, linewidth=1.2, linestyle="--", zorder=0)
        found = correlations[
            (correlations["knowledge"] == measure) & (correlations["gain"] == "accuracy_gain")
        ].set_index("points")["correlation"]
        told = ", ".join(f"{name} {found[name]:+.2f}" for name in ("all", "learned"))
        axes.set(xlabel=label)
        axes.set_title(f"rank correlation: {told}", fontsize="medium")
    panels[0].set(ylabel="gain over vanilla (points; bars: standard error)")
    show_points(panels[0])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure
