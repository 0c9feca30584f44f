"""Runs that stayed RUNNING when their process ended."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import RunTag

from pipeline.common.damage import RUN, read_run
from pipeline.common.errors import UserError
from pipeline.common.processes import is_alive
from pipeline.tracking.names import accepted


def end_dead_runs(client: MlflowClient, experiment: str, root: Path) -> None:
    """End the runs of this machine's dead processes: as KILLED, or as FINISHED where a stage wrote
    all that it had to, but its tracking server was away.
    """
    running = client.search_runs([experiment], "attributes.status = 'RUNNING'")
    dead = [run for run in running if _is_dead(run.data.tags)]
    finished = _finished(root) if dead else {}
    for run in dead:
        run_id = run.info.run_id
        if outputs := finished.get(run_id):
            client.log_batch(run_id, tags=outputs)
        client.set_terminated(run_id, "FINISHED" if run_id in finished else "KILLED")


def _is_dead(tags: Mapping[str, str]) -> bool:
    return tags.get("host") == socket.gethostname() and not is_alive(int(tags.get("pid", 0)))


def _finished(root: Path) -> dict[str, list[RunTag]]:
    """The runs that left their run.json, which is the last that a stage writes, with the tags of
    what they wrote.
    """
    found = {}
    for path in (root / "data").rglob(RUN):
        with suppress(UserError):  # a damaged one is told where it is read for its content
            left = read_run(root, path)
            folder = path.parent.relative_to(root)
            found[left.run_id] = [
                RunTag(accepted(f"output.{(folder / name).as_posix()}"), content)
                for name, content in left.files.items()
            ]
    return found
