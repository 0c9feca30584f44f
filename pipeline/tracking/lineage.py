"""Which runs an artifact comes from and went into."""

from pathlib import Path

from mlflow.entities import Run

from pipeline.common.errors import UserError
from pipeline.common.files import content_hash
from pipeline.tracking.runs import connect


def lineage(root: Path, artifact: Path) -> list[Run]:
    """The runs behind an artifact and after it, oldest first, linked by content hashes.

    Raises:
        UserError: no run wrote an artifact with this content.
    """
    client, experiment = connect(root)
    runs = client.search_runs([experiment], max_results=50_000)
    relevant = {content_hash(artifact)}
    found: dict[str, Run] = {}
    for direction, opposite in (("output.", "input."), ("input.", "output.")):
        hashes = set(relevant)
        grew = True
        while grew:
            grew = False
            for run in runs:
                if hashes & _hashes(run, direction) and run.info.run_id not in found:
                    found[run.info.run_id] = run
                    hashes |= _hashes(run, opposite)
                    grew = True
    if not found:
        raise UserError(
            f"no MLflow run wrote {artifact} with its present content; "
            "`dvc repro` makes the artifact and its run"
        )
    return sorted(found.values(), key=lambda run: run.info.start_time)


def _hashes(run: Run, prefix: str) -> set[str]:
    return {value for key, value in run.data.tags.items() if key.startswith(prefix)}
