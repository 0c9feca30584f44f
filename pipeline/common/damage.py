"""What is said of an artifact that is not as its stage wrote it, and how that is noticed.

A stage leaves run.json beside what it wrote, with a hash of each file. So a bit that flipped, rows
that are gone and a number that somebody changed are noticed too, where the file still reads well.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import UserError, reason_of, shortened
from pipeline.common.files import content_hash
from pipeline.common.project import definition

RUN, FILES = "run.json", "files"


def damaged(root: Path, path: Path, reason: str) -> UserError:
    """Of an artifact below `root`: which file, what is wrong, what makes it again."""
    shown = os.path.relpath(path, root)
    return UserError(
        f"{shown} is damaged: {shortened(reason)}; make it again with {remedy(root, path)}"
    )


def remedy(root: Path, path: Path) -> str:
    """The command that makes data/<stage>/[<method>/][seed-<n>/]<file> again.

    By force, since DVC takes a damaged file for right where it recorded it, and brings it back from
    its cache; and this stage alone, since force would run all stages before it too.
    """
    stage, *folders = path.relative_to(root / "data").parts[:-1]
    keys = []
    if folders and folders[-1].startswith("seed-"):
        keys = [*folders[:-1], folders[-1].removeprefix("seed-")]
    shared = definition(root)
    if shared.parent != root:
        keys = [root.name]
    target = f"{stage}@{'-'.join(keys)}" if keys else stage
    place = "" if shared.parent == root else f" in {shared.parent}"
    return f"`dvc repro --force --single-item {target}`{place}"


@contextmanager
def reading(root: Path, path: Path) -> Iterator[Path]:
    """Give the path of an artifact; whatever goes wrong in the block is damage to that file.

    Raises:
        UserError: something did, or the file is not what its stage wrote.
    """
    with _refusing(lambda reason: damaged(root, path, reason)):
        yield path


@contextmanager
def reading_work(path: Path) -> Iterator[None]:
    """Of a file that a stage keeps between runs, outside its outputs: whatever goes wrong in the
    block is damage to it.

    Raises:
        UserError: something did.
    """

    def refusal(reason: str) -> UserError:
        return UserError(
            f"{path} is damaged: {shortened(reason)}; delete it, and run this again to go on with "
            "what else is finished"
        )

    with _refusing(refusal):
        yield


@contextmanager
def _refusing(refusal: Callable[[str], UserError]) -> Iterator[None]:
    """Refuse whatever goes wrong, with its reason: each format has errors of its own, and a damaged
    file may raise nearly any.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        lacking = f"it has no {error.args[0]}" if isinstance(error, KeyError) else ""
        raise refusal(lacking or reason_of(error)) from None


def require_unchanged(root: Path, path: Path, content: str | None = None) -> None:
    """Refuse an artifact that is not what its stage wrote, as far as that is known.

    Args:
        content: the file's hash, where the caller has it.

    Raises:
        UserError: it is not.
    """
    folder = next((one for one in path.parents if (one / RUN).is_file()), None)
    if folder is None or not folder.is_relative_to(root / "data"):
        return
    written = read_run(root, folder / RUN).files.get(path.relative_to(folder).as_posix())
    if written and written != (content or content_hash(path)):
        raise damaged(root, path, "its content is not what its stage wrote")


@dataclass(frozen=True)
class Left:
    """What a stage's run.json says: its MLflow run, and the hash of each file that it wrote."""

    run_id: str
    files: Mapping[str, str]


def read_run(root: Path, path: Path) -> Left:
    """A stage's run.json.

    Raises:
        UserError: it is damaged.
    """
    with reading(root, path):
        values = json.loads(path.read_text(encoding="utf-8"))
        left = Left(values["run_id"], values.get(FILES, {}))
        if not isinstance(left.run_id, str) or not isinstance(left.files, dict):
            raise ValueError("it names no run")
        return left
