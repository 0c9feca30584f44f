"""Cells that several machines, each a folder and a process of its own here, run together."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from sharing import FORKING, PATIENCE
from tiny_grid import (
    Held,
    cell_runs,
    cells,
    names,
    numbers,
    results_of_one_process,
    values,
    write_artifacts,
)

from pipeline.artifacts import Store
from pipeline.claims.run_cells import cell_folder, run_cells
from pipeline.claims.sharing_by_files import CellFiles
from pipeline.claims.sharing_by_study import open_cell_study
from pipeline.common.errors import UserError
from pipeline.common.formats import read_json, write_json
from pipeline.search.storage import losses_explained


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    shutil.copy(empty_database, root / "mlflow.db")
    write_artifacts(root)
    return root


@pytest.fixture
def machines(prepared: Path, tmp_path: Path) -> list[Path]:
    """Two folders with the same artifacts and nothing finished."""
    return [Path(shutil.copytree(prepared, tmp_path / name)) for name in ("first", "second")]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/cells.db"


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return f"{tmp_path}/cells.log"


def results(root: Path) -> list[dict]:
    folder = cell_folder(Store(root), values(root))
    return [read_json(folder / f"{cell.name}.json") for cell in cells(root)]


@pytest.mark.slow
@pytest.mark.processes
def test_machines_share_what_none_has_finished_and_have_the_same_table(
    machines: list[Path], database: str
) -> None:
    expected = results_of_one_process(machines[0])
    given = [cell.name for cell in cells(machines[0])]
    expected[-1]["accuracy"] = 7.0  # known to the first machine alone, without the storage
    write_json(
        cell_folder(Store(machines[0]), values(machines[0])) / f"{given[-1]}.json", expected[-1]
    )
    with FORKING.Manager() as manager, ThreadPoolExecutor() as threads:
        events = {name: manager.Event() for name in given[:2]}
        held = [Held(manager.Queue(), events) for _ in machines]

        def run(root: Path, run: Held) -> pd.DataFrame:
            arguments = (values(root), cells(root), "fine-tune-cells", 1, database)
            return run_cells(Store(root), *arguments, run=run)

        calls = [threads.submit(run, *pair) for pair in zip(machines, held, strict=True)]
        # Both are at a cell, so the first has offered what it knows.
        at = dict(one.said.get(timeout=PATIENCE) for one in held)
        for event in events.values():
            event.set()
        tables = [call.result(PATIENCE) for call in calls]
        assert [one.said.qsize() for one in held] == [0, 0]
    assert at.keys() == events.keys()
    assert len(set(at.values())) == 2
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    pd.testing.assert_frame_equal(
        numbers(tables[0]), numbers(pd.DataFrame(expected)), check_exact=True
    )
    assert results(machines[0]) == results(machines[1])
    ran = [run for root in machines for run in cell_runs(root, "FINISHED")]
    assert names(ran) == sorted((cell.row, f"seed {cell.seed}") for cell in cells(machines[0])[:-1])


def test_the_result_of_the_study_replaces_a_later_one_of_a_file(journal: str, machines) -> None:
    given = cells(machines[0])[:2]
    first, second = (
        open_cell_study(journal, "name", CellFiles(root / "cells")) for root in machines
    )
    assert second.missing(given) == given
    assert first.run_if_free(given[0], lambda cell: {"row": "first", "validation_nll": 0.5})
    second.files.run_if_free(given[0], lambda cell: {"row": "second", "validation_nll": 0.5})
    assert not second.run_if_free(given[0], lambda cell: {"row": "second"})
    assert second.missing(given) == [given[1]]
    assert second.run_if_free(given[1], lambda cell: {"row": "diverged"})
    assert first.missing(given) == []
    assert first.results(given) == second.results(given)
    assert [one["row"] for one in second.files.results(given)] == ["first", "diverged"]


def test_a_result_outlives_a_storage_that_goes_away(tmp_path: Path, machines) -> None:
    cell = cells(machines[0])[0]
    database = tmp_path / "cells.db"
    files = CellFiles(tmp_path / "cells")

    def compute(cell):
        database.write_bytes(b"no database any more " * 1000)
        return {"row": "known"}

    study = open_cell_study(f"sqlite:///{database}", "name", files)
    with pytest.raises(UserError), losses_explained("cot stage fine-tune-cells"):
        study.run_if_free(cell, compute)
    again = open_cell_study(f"{tmp_path}/cells.log", "name", files)
    assert again.missing([cell]) == []
    assert again.results([cell]) == [{"row": "known"}]
