"""Optuna: the search of the stage tune, trials that processes and machines share, and the
storage that they share them in.
"""

__all__ = ["choice", "difference", "evidence", "journal", "shared_trials", "storage", "study"]
