"""Many cells in real processes: shared, killed and gone on with, and always the same numbers."""

import os
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import sharing
from mlflow.entities import Run
from tiny_grid import cell_runs, cells, names, numbers, values, write_artifacts

from pipeline.artifacts import Store
from pipeline.claims.run_cells import cell_folder, run_cells

pytestmark = pytest.mark.slow

SCRIPT = textwrap.dedent("""
    import sys
    from pathlib import Path
    from pipeline import params
    from pipeline.artifacts import Store
    from pipeline.params.claims_sections import CellSettings
    from pipeline.claims.run_cells import run_cells
    from stages.fine_tune_cells import all_cells

    root, workers, csv = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    values = params.load(root / "params.yaml")
    section = values.fine_tune_cells
    settings = {name: CellSettings(method=name) for name in section.methods}
    cells = all_cells(section, settings)
    run_cells(Store(root), values, cells, "fine-tune-cells", workers).to_csv(root / csv)
""")

Start = Callable[[Path, int, str], subprocess.Popen[str]]


def finished_files(root: Path) -> dict[str, int]:
    """When each finished cell was written, in ns."""
    folder = cell_folder(Store(root), values(root))
    return {path.stem: path.stat().st_mtime_ns for path in folder.glob("[!.]*.json")}


def stop_while_cells_run(root: Path, call: subprocess.Popen[str], finished: int) -> list[Run]:
    """Stop a call and its workers while a run of a cell is open and no cell is half finished.

    Args:
        finished: how many cells are to be finished before.
    """
    while True:
        assert call.poll() is None, "it ended before a cell could be killed"
        time.sleep(0.1)
        if len(finished_files(root)) < finished:
            continue
        os.killpg(call.pid, signal.SIGSTOP)
        running, done = cell_runs(root, "RUNNING"), cell_runs(root, "FINISHED")
        if running and len(done) == len(finished_files(root)):
            return running
        os.killpg(call.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """The artifacts that cells draw from: two classes, ten images of each and six for testing."""
    root = tmp_path_factory.mktemp("grid")
    shutil.copy(empty_database, root / "mlflow.db")
    write_artifacts(root)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    """A copy in which nothing is finished."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".work"))
    return tmp_path


def start(root: Path, workers: int, csv: str = "table.csv") -> subprocess.Popen[str]:
    return sharing.start(SCRIPT, root, workers, csv)


@pytest.fixture(scope="module")
def shared(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cells of two calls at the same time, each with one worker."""
    root = tmp_path_factory.mktemp("shared")
    shutil.copytree(prepared, root, dirs_exist_ok=True)
    calls = [start(root, 1, f"{name}.csv") for name in ("first", "second")]
    errors = [call.communicate(timeout=300)[1] for call in calls]
    assert [call.returncode for call in calls] == [0, 0], errors
    return root


def test_two_calls_share_the_work_and_run_each_cell_once(shared: Path) -> None:
    expected = sorted((cell.row, f"seed {cell.seed}") for cell in cells(shared))
    assert names(cell_runs(shared, "FINISHED")) == expected
    assert (shared / "first.csv").read_text() == (shared / "second.csv").read_text()


def test_rows_are_in_the_order_of_the_cells(shared: Path) -> None:
    table = pd.read_csv(shared / "first.csv")
    found = list(zip(table["row"], table["seed"], strict=True))
    assert found == [(cell.row, cell.seed) for cell in cells(shared)]
    backwards = cells(shared)[::-1]
    turned = run_cells(Store(shared), values(shared), backwards, "fine-tune-cells", 1)
    assert turned["row"].tolist() == table["row"].tolist()[::-1]


def test_a_run_has_the_numbers_of_its_cell(shared: Path) -> None:
    table = pd.read_csv(shared / "first.csv").set_index(["row", "seed"])
    for run in cell_runs(shared, "FINISHED"):
        row = table.loc[run.data.tags["group 3"], int(run.data.params["seed"])]
        assert run.data.metrics["accuracy"] == row["accuracy"]
        assert run.data.metrics["validation_nll"] == pytest.approx(row["validation_nll"])
        assert "learning_rate" not in run.data.metrics


def test_finished_cells_are_not_run_again(shared: Path, root: Path) -> None:
    shutil.copytree(shared / ".work", root / ".work")
    folder = cell_folder(Store(root), values(root))
    given = cells(root)
    marked, lost = (folder / f"{given[place].name}.json" for place in (1, 4))
    marked.write_text('{"row": "marked", "accuracy": 7.0, "training_seconds": 0.0}')
    expected = lost.read_text()
    lost.unlink()
    table = run_cells(Store(root), values(root), given, "fine-tune-cells", workers=2)
    assert table.loc[1, ["row", "accuracy"]].tolist() == ["marked", 7.0]
    assert names(cell_runs(root, "FINISHED")) == [(given[4].row, f"seed {given[4].seed}")]
    lines = zip(lost.read_text().splitlines(), expected.splitlines(), strict=True)
    assert all("training_seconds" in line for line, before in lines if line != before)


def test_a_killed_worker_loses_its_cell_and_the_other_one_makes_it_up(
    shared: Path, root: Path
) -> None:
    call = start(root, workers=2)
    lost = stop_while_cells_run(root, call, finished=0)[0]
    os.kill(int(lost.data.tags["pid"]), signal.SIGKILL)
    os.killpg(call.pid, signal.SIGCONT)
    error = call.communicate(timeout=300)[1]
    assert call.returncode == 1
    assert "1 of 2 processes failed (exit code -9)" in error
    assert names(cell_runs(root, "KILLED")) == names([lost])
    assert names(cell_runs(root, "FINISHED")) == names(cell_runs(shared, "FINISHED"))
    table = run_cells(Store(root), values(root), cells(root), "fine-tune-cells", workers=2)
    once = run_cells(Store(shared), values(shared), cells(shared), "fine-tune-cells", workers=1)
    pd.testing.assert_frame_equal(numbers(table), numbers(once), check_exact=True)


def test_a_killed_call_is_gone_on_with_where_it_was(shared: Path, root: Path) -> None:
    call = start(root, workers=2)
    stop_while_cells_run(root, call, finished=1)
    os.killpg(call.pid, signal.SIGKILL)
    call.communicate(timeout=60)
    kept, lost = finished_files(root), cell_runs(root, "RUNNING")
    assert 1 <= len(kept) < 6
    assert 1 <= len(lost) <= 2
    table = run_cells(Store(root), values(root), cells(root), "fine-tune-cells", workers=1)
    assert kept.items() <= finished_files(root).items()
    assert names(cell_runs(root, "KILLED")) == names(lost)
    assert len(cell_runs(root, "FINISHED")) == 6
    once = run_cells(Store(shared), values(shared), cells(shared), "fine-tune-cells", workers=1)
    pd.testing.assert_frame_equal(numbers(table), numbers(once), check_exact=True)
