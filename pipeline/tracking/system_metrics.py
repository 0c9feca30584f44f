"""What a run takes of the machine, where MLflow is asked for it in its own way."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING


@contextmanager
def system_metrics(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Log CPU, memory, disk, network and GPU to a run while the block runs.

    Nothing is logged unless MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING is true: no param, since it
    changes no artifact. MLflow's further variables (interval, name of the machine) hold.
    """
    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, tracking_uri=client.tracking_uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
