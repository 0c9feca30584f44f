"""Many cells in real processes: killed, gone on with and shared, and always the same numbers."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import tiny_grid
from sharing import FORKING, PATIENCE, Started, wait_until
from tiny_grid import Held, cell_runs, cells, names, numbers, values, write_artifacts

from pipeline.artifacts import Store
from pipeline.claims.run_cells import cell_folder, run_cells
from pipeline.common.errors import UserError
from pipeline.common.formats import write_json
from pipeline.common.processes import is_alive

pytestmark = [pytest.mark.slow, pytest.mark.processes]


@dataclass(frozen=True)
class Story:
    """A call was killed at its second cell; then two calls went on, and of one a worker was killed.

    Attributes:
        expected: the results of one process; that of the fourth cell is marked, and was there
            before the calls that went on.
        kept: the files that were there then.
        at: the processes that were each at a cell at the same moment, by cell.
        lost: the cell of the killed one.
        made_up: the cells that were begun again, and by whom.
        error: of the call that lost a worker.
        table: of the other one.
    """

    root: Path
    expected: pd.DataFrame
    kept: dict[str, int]
    open_runs: list[tuple[str, str]]
    at: dict[str, int]
    lost: str
    made_up: list[tuple[str, int]]
    error: str
    table: pd.DataFrame


def written(root: Path) -> dict[str, int]:
    """When each finished cell was written, in ns."""
    folder = cell_folder(Store(root), values(root))
    return {path.stem: path.stat().st_mtime_ns for path in folder.glob("[!.]*.json")}


def runs_of(root: Path, *wanted: str) -> list[tuple[str, str]]:
    """What the runs of cells are called."""
    return sorted((cell.row, f"seed {cell.seed}") for cell in cells(root) if cell.name in wanted)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Story:
    root = tmp_path_factory.mktemp("grid")
    shutil.copy(empty_database, root / "mlflow.db")
    write_artifacts(root)
    given = [cell.name for cell in cells(root)]
    results = tiny_grid.results_of_one_process(root)
    results[3]["accuracy"] = 7.0
    arguments = Store(root), values(root), cells(root), "fine-tune-cells"
    with FORKING.Manager() as manager, ThreadPoolExecutor() as threads:
        events = {given[place]: manager.Event() for place in (1, 2, 4)}
        alone, first, second = (Held(manager.Queue(), events) for _ in range(3))

        call = Started(tiny_grid.call, root, alone)
        _, worker = alone.said.get(timeout=PATIENCE)
        call.kill()
        wait_until(lambda: not is_alive(worker))
        open_runs = names(cell_runs(root, "RUNNING"))
        write_json(cell_folder(Store(root), values(root)) / f"{given[3]}.json", results[3])
        kept = written(root)

        failing = threads.submit(run_cells, *arguments, 2, run=first)
        other = threads.submit(run_cells, *arguments, 1, run=second)
        (lost, process), *rest = (one.said.get(timeout=PATIENCE) for one in (first, first, second))
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: not is_alive(process))
        for event in events.values():
            event.set()
        error, table = failing.exception(PATIENCE), other.result(PATIENCE)
        made_up = [one.said.get() for one in (first, second) for _ in range(one.said.qsize())]
    assert isinstance(error, UserError)
    at = {lost: process, **dict(rest)}
    expected = pd.DataFrame(results)
    return Story(root, expected, kept, open_runs, at, lost, made_up, str(error), table)


def test_a_killed_call_loses_the_cell_it_was_at_and_no_other(story: Story) -> None:
    given = [cell.name for cell in cells(story.root)]
    assert story.kept.keys() == {given[0], given[3]}
    assert story.open_runs == runs_of(story.root, given[1])


def test_calls_go_on_with_what_is_finished_and_share_the_rest(story: Story) -> None:
    given = [cell.name for cell in cells(story.root)]
    assert story.kept.items() <= written(story.root).items()
    assert written(story.root).keys() == set(given)
    assert story.at.keys() == {given[1], given[2], given[4]}
    assert len(set(story.at.values())) == 3
    ran = runs_of(story.root, *set(given) - {given[3]})
    assert names(cell_runs(story.root, "FINISHED")) == ran


def test_a_killed_worker_loses_its_cell_and_another_one_makes_it_up(story: Story) -> None:
    assert "1 of 2 processes failed (exit code -9)" in story.error
    ((made_up, process),) = story.made_up
    assert made_up == story.lost
    assert process in set(story.at.values()) - {story.at[story.lost]}
    killed = sorted(story.open_runs + runs_of(story.root, story.lost))
    assert names(cell_runs(story.root, "KILLED")) == killed
    assert cell_runs(story.root, "RUNNING") == []


def test_the_table_is_that_of_one_process_in_the_order_of_the_cells(story: Story) -> None:
    pd.testing.assert_frame_equal(numbers(story.table), numbers(story.expected), check_exact=True)
    found = list(zip(story.table["row"], story.table["seed"], strict=True))
    assert found == [(cell.row, cell.seed) for cell in cells(story.root)]
    given = Store(story.root), values(story.root), cells(story.root)[::-1]
    turned = run_cells(*given, "fine-tune-cells", 1)
    pd.testing.assert_frame_equal(turned, story.table[::-1].reset_index(drop=True))


def test_a_run_has_the_numbers_of_its_cell(story: Story) -> None:
    table = story.table.set_index(["row", "seed"])
    for run in cell_runs(story.root, "FINISHED"):
        row = table.loc[run.data.tags["group 3"], int(run.data.params["seed"])]
        assert run.data.metrics["accuracy"] == row["accuracy"]
        assert run.data.metrics["validation_nll"] == pytest.approx(row["validation_nll"])
        assert "learning_rate" not in run.data.metrics
