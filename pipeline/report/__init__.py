"""How good the methods are and whether they differ: metrics, comparison, figures, and the
report's text.
"""

__all__ = [
    "class_gain_figure",
    "class_gains",
    "figures",
    "markdown",
    "metrics",
    "paired",
    "ranking_figure",
    "results",
    "text",
    "text_answer",
    "text_seeing_why",
    "trials_figure",
]
