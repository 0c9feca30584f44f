"""The claims table: cells (one training each), how processes and machines share them, the
controls, and the table with its figures.
"""

__all__ = [
    "cell",
    "controls",
    "figures",
    "gain",
    "gain_figure",
    "pool",
    "power",
    "recovery",
    "run_cells",
    "sharing_by_files",
    "sharing_by_study",
    "source_labels",
    "sweep",
    "sweep_figures",
    "table",
]
