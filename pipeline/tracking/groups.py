"""Runs grouped as a tree, so that a table's structure is seen where runs are compared."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.common.processes import process_tags
from pipeline.common.project import tracking_root
from pipeline.tracking.dead_runs import end_dead_runs
from pipeline.tracking.pipelines import PARENT
from pipeline.tracking.provenance import git_tags
from pipeline.tracking.runs import StageRun
from pipeline.tracking.store import GROUPS_LOCK, connect, refusing, standing_run


@contextmanager
def grouped_run(
    root: Path, grid: str, groups: Sequence[str], name: str, params: Mapping[str, Any]
) -> Iterator[StageRun]:
    """Open a run below the runs that `groups` names, the outermost first.

    Args:
        root: the pipeline's folder.
        grid: tells groups of one table from those of another; one word.

    Raises:
        UserError: the tracking server or database cannot be reached or stays locked.
    """
    parent = group_run(root, grid, groups)
    client, experiment = connect(root)
    tags = process_tags() | git_tags(root) | {PARENT: parent.run_id, "grid": grid}
    tags |= {f"group {depth}": group for depth, group in enumerate(groups, 1)}
    with refusing(root):
        end_dead_runs(client, experiment, root)
        created = client.create_run(experiment, run_name=name, tags=tags)
    run = StageRun(client, created.info.run_id, root)
    run.log_params(params)
    with run.ending():
        yield run


def group_run(root: Path, grid: str, groups: Sequence[str]) -> StageRun:
    """The run that stands for a group; it and those above are made where they are missing."""
    client, experiment = connect(root)
    parent: dict[str, str] = {}
    with refusing(root), FileLock(tracking_root(root) / GROUPS_LOCK):
        for depth, group in enumerate(groups, 1):
            path = "/".join(groups[:depth])
            query = f"tags.grid = '{grid}' and tags.is_group = '{path}'"
            tags = parent | {"grid": grid, "is_group": path}
            run_id = standing_run(client, experiment, query, group, tags)
            parent = {PARENT: run_id}
    return StageRun(client, run_id, root)
