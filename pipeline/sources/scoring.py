"""Candidates scored one after the other, and none twice."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipeline.artifacts import Store, read_checked
from pipeline.common.damage import reading_work
from pipeline.common.errors import UserError
from pipeline.common.formats import write_json
from pipeline.common.resume import resume_key
from pipeline.sources.ranking import Candidate, CommonScores
from pipeline.tracking.runs import stage_run

STAGE = "rank-sources"

log = logging.getLogger(__name__)
Found = TypeVar("Found", bound=CommonScores)


@dataclass(frozen=True)
class Scoring(Generic[Found]):
    """How a candidate is scored, and what its scores depend on beside its own files.

    Attributes:
        kind: of the scores.
        inputs: files that are read.
        steering: values, as JSON types.
        code: which files below pipeline/ make the scores, as patterns.
        begin: called once where a candidate is to be scored; gives what scores one, or raises
            UserError where it cannot be.
    """

    kind: type[Found]
    inputs: Sequence[Path]
    steering: Mapping[str, Any]
    code: Sequence[str]
    begin: Callable[[], Callable[[Candidate], Found]]


def scored(
    store: Store, candidates: Sequence[Candidate], scoring: Scoring[Found]
) -> dict[Candidate, Found]:
    """Those of the candidates that can be loaded; what was scored before is not scored again.

    Raises:
        UserError: none of them can be loaded.
    """
    paths = {}
    for candidate in candidates:
        own = {**scoring.steering, **asdict(candidate), "content": candidate.content()}
        key = resume_key(own, scoring.inputs, scoring.code)
        paths[candidate] = store.work_folder(STAGE) / f"{key}.json"
    if missing := [candidate for candidate in candidates if not paths[candidate].exists()]:
        score, folder = scoring.begin(), store.folder(STAGE)
        logged = {"models": [candidate.label for candidate in candidates]}
        with stage_run(store.root, STAGE, logged, scoring.inputs, folder) as run:
            for candidate in missing:
                try:
                    found = score(candidate)
                except UserError as error:
                    log.warning("%s is left out: %s", candidate.label, error)
                    continue
                write_json(paths[candidate], asdict(found))
                with run.nested(candidate.label, asdict(candidate)) as child:
                    child.log_metrics(asdict(found))
    usable = {
        candidate: _read(path, scoring.kind) for candidate, path in paths.items() if path.exists()
    }
    if not usable:
        raise UserError("no source model is left to rank; name others, or give local weights")
    return usable


def _read(path: Path, kind: type[Found]) -> Found:
    with reading_work(path):
        scores: Found = read_checked(path, kind)
        return scores
