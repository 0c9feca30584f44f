"""Cells that several machines, each a folder and a process of its own here, run together."""

import shutil
import textwrap
from pathlib import Path

import pandas as pd
import pytest
from sharing import outputs, start
from tiny_grid import cell_runs, cells, names, numbers, values, write_artifacts

from pipeline.artifacts import Store, read_json
from pipeline.claims.run_cells import cell_folder, run_cells
from pipeline.claims.sharing_by_files import CellFiles
from pipeline.claims.sharing_by_study import open_cell_study
from pipeline.common.errors import UserError
from pipeline.search.storage import losses_explained

RUN = textwrap.dedent("""
    import sys
    from pathlib import Path
    from pipeline.artifacts import Store
    from pipeline.claims.run_cells import run_cells
    from tiny_grid import cells, values

    root = Path(sys.argv[1])
    table = run_cells(
        Store(root), values(root), cells(root), "fine-tune-cells", 1, storage=sys.argv[2]
    )
    table.to_csv(root / "table.csv")
""")


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


@pytest.fixture(scope="module")
def alone(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of one machine without a storage."""
    root = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("alone") / "root"))
    run_cells(Store(root), values(root), cells(root), "fine-tune-cells", 1).to_csv(root / "csv")
    return pd.read_csv(root / "csv")


def study_name(root: Path) -> str:
    return f"fine-tune-cells-{cell_folder(Store(root), values(root)).name}"


def results(root: Path) -> list[dict]:
    folder = cell_folder(Store(root), values(root))
    return [read_json(folder / f"{cell.name}.json") for cell in cells(root)]


@pytest.mark.slow
def test_machines_run_each_cell_once_and_have_the_same_table(
    machines: list[Path], database: str, alone: pd.DataFrame
) -> None:
    outputs(*(start(RUN, root, database) for root in machines))
    tables = [root / "table.csv" for root in machines]
    assert tables[0].read_text() == tables[1].read_text()
    pd.testing.assert_frame_equal(numbers(pd.read_csv(tables[0])), numbers(alone), check_exact=True)
    assert results(machines[0]) == results(machines[1])
    ran = [run for root in machines for run in cell_runs(root, "FINISHED")]
    assert names(ran) == sorted((cell.row, f"seed {cell.seed}") for cell in cells(machines[0]))


@pytest.mark.slow
def test_what_a_machine_has_finished_without_a_storage_is_not_run_again(
    machines: list[Path], database: str
) -> None:
    first, second = machines
    known = {"row": "known", "accuracy": 7.0, "validation_nll": 0.25}
    for cell in cells(first)[:-1]:
        file = CellFiles(cell_folder(Store(first), values(first))).file(cell)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"row": "known", "accuracy": 7.0, "validation_nll": 0.25}')
    for root in machines:
        run_cells(Store(root), values(root), cells(root), "fine-tune-cells", 1, storage=database)
    assert results(first) == results(second)
    assert results(first)[:-1] == [known] * 5
    assert len(cell_runs(first, "FINISHED")) == 1
    assert cell_runs(second, "FINISHED") == []


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
