"""MLflow: one run a stage, runs grouped as a tree, and the runs behind an artifact.

What is tracked never changes what a stage writes.
"""

__all__ = ["groups", "lineage", "provenance", "runs"]
