"""MLflow: one run a pipeline, below it one a stage, and the runs behind an artifact.

What is tracked never changes what a stage writes.
"""

__all__ = [
    "assets",
    "attempts",
    "comparison",
    "dead_runs",
    "groups",
    "lineage",
    "names",
    "pipelines",
    "provenance",
    "runs",
    "store",
    "system_metrics",
    "views",
]
