"""Two processes that torchrun starts find what one process finds; they are started once for all."""

import subprocess
import sys

import pytest
import torch
import two_processes
from sharing import environment
from two_processes import METHODS, Found

from pipeline.training.distributed import ALONE

pytestmark = [pytest.mark.slow, pytest.mark.processes]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return two_processes.everything(ALONE, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    folder = tmp_path_factory.mktemp("both")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [sys.executable, *launcher, two_processes.__file__],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert result.returncode == 0, result.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_what_they_share(both: list[Found]) -> None:
    first, second = (found["shared"] for found in both)
    assert [found["part"].tolist() for found in (first, second)] == [[0, 1, 2], [3, 4, 5, 6]]
    for found in (first, second):
        assert found["all"].tolist() == list(range(7))
        assert found["mean"].tolist() == [1.5, 15.0]
        assert found["first"] == 0
    assert (first["is first"], second["is first"]) == (True, False)


def test_they_normalise_by_the_whole_batch(alone: Found, both: list[Found]) -> None:
    for found in both:
        torch.testing.assert_close(found["normalised"], alone["normalised"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_they_train_as_one_does(alone: Found, both: list[Found], method: str) -> None:
    expected = alone[method]
    for found in (process[method] for process in both):
        assert found["best"] == expected["best"]
        assert found["passed"] == expected["passed"] == 3 * 16
        for record, wanted in zip(found["history"], expected["history"], strict=True):
            assert record == pytest.approx(wanted, rel=1e-4)
        torch.testing.assert_close(found["state"], expected["state"], rtol=1e-4, atol=1e-5)


def test_they_go_on_where_they_were_interrupted(both: list[Found]) -> None:
    for process in both:
        found, expected = process["gone on"], process["whole"]
        assert found["passed"] == 16
        assert found["history"] == expected["history"]
        torch.testing.assert_close(found["state"], expected["state"], rtol=0, atol=0)
