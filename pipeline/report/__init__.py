"""How good the methods are and whether they differ: metrics, comparison, figures, and the
report, as text and as a page.
"""

__all__ = [
    "class_gain_figure",
    "class_gains",
    "comparisons",
    "document",
    "dvc_tables",
    "figures",
    "markdown",
    "metrics",
    "page",
    "page_charts",
    "page_images",
    "paired",
    "ranking_figure",
    "results",
    "text",
    "text_answer",
    "text_search",
    "text_seeing_why",
    "trials_figure",
]
