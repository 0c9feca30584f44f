"""Which runs an artifact comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from mlflow.entities import Run

from pipeline.common.errors import UserError
from pipeline.common.files import content_hash
from pipeline.tracking.store import connect

COMMIT = "mlflow.source.git.commit"


@dataclass(frozen=True)
class Origin:
    """A file and where it comes from.

    Attributes:
        path: from the project's folder.
        run: that wrote it with this content, the latest; None of data from outside.
        sources: what that run read, each with its own origin.
    """

    path: str
    run: Run | None
    sources: tuple["Origin", ...]


def lineage(root: Path, artifact: Path) -> Origin:
    """The tree of runs behind an artifact, back to the data, linked by content hashes.

    Raises:
        UserError: no run wrote an artifact with this content.
    """
    client, experiment = connect(root)
    runs = client.search_runs([experiment], max_results=50_000)
    writers: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: run.info.start_time):
        writers |= dict.fromkeys(_files(run, "output.").values(), run)
    content = content_hash(artifact)
    if content not in writers:
        raise UserError(
            f"no MLflow run wrote {artifact} with its present content; "
            "`dvc repro` makes the artifact and its run"
        )
    return _origin(str(artifact), content, writers, frozenset())


def recorded(root: Path, artifact: Path) -> bool | None:
    """Whether dvc.lock has this content for the file; None of a file that is no output."""
    name = artifact.resolve().relative_to(root.resolve()).as_posix()
    try:
        known = DVCFileSystem(str(root)).info(name)["dvc_info"]["md5"]
    except (DvcException, OSError, KeyError):
        return None
    return bool(known == content_hash(artifact))


def _origin(path: str, content: str, writers: Mapping[str, Run], above: frozenset[str]) -> Origin:
    run = writers.get(content)
    if run is None or run.info.run_id in above:
        return Origin(path, None, ())
    sources = tuple(
        _origin(name, found, writers, above | {run.info.run_id})
        for name, found in _files(run, "input.").items()
    )
    return Origin(path, run, sources)


def _files(run: Run, prefix: str) -> dict[str, str]:
    """Names of files and their hashes."""
    tags = run.data.tags.items()
    return {key.removeprefix(prefix): value for key, value in tags if key.startswith(prefix)}
