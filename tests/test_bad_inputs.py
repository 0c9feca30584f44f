"""Every row of bad_inputs.yaml ends in one line and exit code 1, and leaves nothing half-made."""

import functools
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from damages import OF_A_FILE, damage, restored
from prepared_project import cot, write_prepared
from ruamel.yaml import YAML

from pipeline.deployment import target_model
from pipeline.sources.models import load_source_model
from stages import evaluate, fine_tune, tune

TABLE = Path(__file__).with_name("bad_inputs.yaml")


@dataclass(frozen=True)
class Row:
    """A bad input.

    Attributes:
        run: the command, without `cot`.
        says: a part of the line that it ends with.
        files: by path, what was done to it, in words of damages.py.
        again: the DVC stage that the line names to make the file again; "" for none.
        set, env: overrides of params, and variables of the environment.
        exit: code; that of a command line that is not understood is 2.
    """

    run: str
    says: str
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    again: str = ""
    set: str = ""
    env: dict[str, str] = field(default_factory=dict)
    exit: int = 1


def rows() -> list[Row]:
    """Groups of rows share what they have in common; words about `file` stand in the row."""
    found = []
    for group in YAML(typ="safe").load(TABLE.read_text()):
        for given in group.pop("rows"):
            row = group | given
            how = {word: row.pop(word) for word in list(row) if word in OF_A_FILE}
            file = row.pop("file", None)
            files = ({file: how} if file else {}) | row.pop("files", {})
            found.append(Row(**row, files=files))
    return found


ROWS = rows()


def test_the_table_has_its_two_hundred_rows() -> None:
    assert len(ROWS) >= 200
    assert len({str(row) for row in ROWS}) == len(ROWS)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("bad-inputs")
    root = place / "project"
    (place / ".dvc").mkdir()
    root.mkdir()
    for name in ("mlflow.db", "text.db", "cut.db", "linked.db"):
        shutil.copy(empty_database, place / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "COT_STORAGE", "WORLD_SIZE"):
            patch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        write_prepared(root)
        # Read from its file once, not once a row.
        once = functools.cache(load_source_model)
        for stage in (fine_tune, evaluate, tune, target_model):
            patch.setattr(stage, "load_source_model", once)
        yield root


def files_below(root: Path) -> dict[str, tuple[int, int]]:
    """State of each file that a stage must not touch when it refuses."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            if name != "run.json" and not {"report", ".work"} & set(path.parts):
                state = path.lstat()
                found[str(path)] = state.st_size, state.st_mtime_ns
    return found


def name_of(row: Row) -> str:
    what = "; ".join(f"{file} {how}" for file, how in row.files.items())
    return " ".join(filter(None, (row.run, row.set, what)))[:120]


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_bad_input_is_one_line(row: Row, prepared: Path, monkeypatch: Any) -> None:
    for name, value in row.env.items():
        monkeypatch.setenv(name, value)
    with restored(prepared, list(row.files)):
        for file, how in row.files.items():
            damage(prepared / file, how)
        before = files_below(prepared)
        overrides = ["--set", row.set] if row.set else []
        result = cot(*row.run.split(), *overrides)
        after = files_below(prepared)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == row.exit, result.output
    if row.exit == 1:
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("Error: ")
        assert len(lines[0]) < 700
    assert row.says in result.stderr
    if row.again:
        assert next(iter(row.files)) in result.stderr
        assert f"`dvc repro --force --single-item {row.again}`" in result.stderr
    assert after == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place]).returncode:
        pytest.skip("only root mounts")
    yield place
    # Lazily: this process keeps the connection to a database that lies there.
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_is_one_line(prepared: Path, small_disk: Path) -> None:
    (small_disk / "filled").write_bytes(bytes(60_000))
    with restored(prepared, ["data/calibrate/seed-0"]):
        damage(prepared / "data/calibrate/seed-0", {"gone": True, "link": str(small_disk)})
        result = cot("stage", "calibrate")
        left = sorted(path.name for path in small_disk.iterdir())
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not [name for name in left if name.startswith(".")]
    assert "reliability.png" not in left


@pytest.mark.parametrize(
    ("variable", "form", "command", "says"),
    [
        (
            "MLFLOW_TRACKING_URI",
            "sqlite:///{}/mlflow.db",
            "stage calibrate",
            "readonly database; see",
        ),
        ("COT_STORAGE", "sqlite:///{}/mlflow.db", "stage tune", "readonly database; check"),
        ("COT_STORAGE", "{}/journal.log", "stage tune", "Read-only file system; name a file"),
    ],
)
def test_a_place_that_can_only_be_read_is_one_line(
    variable: str,
    form: str,
    command: str,
    says: str,
    prepared: Path,
    small_disk: Path,
    empty_database: Path,
    monkeypatch: Any,
) -> None:
    remount = ["mount", "--options"]
    subprocess.run([*remount, "remount,size=4m", small_disk], check=True)
    shutil.copy(empty_database, small_disk / "mlflow.db")
    subprocess.run([*remount, "remount,ro", small_disk], check=True)
    monkeypatch.setenv(variable, form.format(small_disk))
    before = files_below(prepared)
    result = cot(*command.split())
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert says in result.stderr
    assert files_below(prepared) == before


def test_a_clock_that_is_set_back_changes_no_result(prepared: Path, monkeypatch: Any) -> None:
    now = itertools.count(time.time(), -3600)
    with restored(prepared, ["data/calibrate/seed-0"]):
        assert cot("stage", "calibrate").exit_code == 0
        expected = (prepared / "data/calibrate/seed-0/calibration.json").read_bytes()
        monkeypatch.setattr(time, "time", lambda: next(now))
        result = cot("stage", "calibrate")
        found = (prepared / "data/calibrate/seed-0/calibration.json").read_bytes()
    assert (result.exit_code, result.stderr) == (0, "")
    assert found == expected


@pytest.mark.processes
@pytest.mark.parametrize(
    "row",
    [
        Row(
            "stage fit-relationship",
            "calibration.json is damaged",
            {"data/calibrate/seed-0/calibration.json": {"cut": 0.5}},
        ),
        Row("stage calibrate", "finite number", set="fine_tune.learning_rate=.inf"),
    ],
    ids=name_of,
)
def test_a_process_of_its_own_says_the_same(row: Row, prepared: Path) -> None:
    command = [sys.executable, "-c", "from stages.entry import main; main()", *row.run.split()]
    with restored(prepared, list(row.files)):
        for file, how in row.files.items():
            damage(prepared / file, how)
        found = subprocess.run(
            [*command, *(["--set", row.set] if row.set else [])],
            env=os.environ | {"PYTHONPATH": str(TABLE.parents[1])},
            capture_output=True,
            text=True,
        )
    assert found.returncode == 1
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1
    assert row.says in found.stderr


def test_a_pipe_among_images_is_not_waited_for(prepared: Path) -> None:
    with restored(prepared, ["photos/brick/a\npipe.png"]):
        os.mkfifo(prepared / "photos/brick/a\npipe.png")
        result = cot("stage", "prepare-data")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "a pipe.png (no regular file)" in result.stderr
