"""Processes that torchrun starts: who gets what, and that they train as one process does."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from sharing import environment

from pipeline.common.errors import UserError
from pipeline.training.distributed import ALONE, Processes, joined_processes

SHARED = """
import torch
from pipeline.training.distributed import joined_processes

with joined_processes() as processes:
    mine = torch.arange(7)[processes.share(7)]
    found = {
        "part": mine,
        "all": processes.gather(mine),
        "mean": processes.mean(torch.tensor([1.0, 10.0]) * (1 + processes.rank)),
        "first": processes.from_first(lambda: torch.tensor(processes.rank)),
        "first alone": processes.is_first,
    }
    torch.save(found, f"{processes.rank}.pt")
"""
FIT = """
import sys
import torch
from torch import nn
from pipeline.training.methods import compose_method, new_model
from pipeline.sources.models import SourceModel
from pipeline.training.compute import Compute
from pipeline.training.distributed import joined_processes
from pipeline.datasets.batches import ImageSet, Preprocessing
from pipeline.params.sections import Peers, Training
from pipeline.training.fit import Data, fit
from pathlib import Path

methods, dropout, last_epoch = sys.argv[1].split(","), float(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(0)
backbone = nn.Sequential(
    *(nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
    *(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8, momentum=None), nn.ReLU()),
    *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)),
)
source = SourceModel(backbone, nn.Linear(8, 5), tuple("abcde"), (0.4,) * 3, (0.3,) * 3)
generator = torch.Generator().manual_seed(1)
images = torch.randint(0, 255, (27, 16, 16, 3), generator=generator, dtype=torch.uint8).numpy()
rows = torch.arange(27).numpy()
data = Data(
    ImageSet(images, rows[:20], rows[:20] % 3), ImageSet(images, rows[20:], rows[20:] % 3),
    Preprocessing(12, source.mean, source.std),
)
relationship = torch.softmax(torch.randn(3, 5, generator=generator), dim=1)

def leave(record):
    if record["epoch"] == last_epoch:
        sys.exit()

found = {}
with joined_processes() as processes:
    for method in methods:
        model, passed = new_model(source, 3, 0), []
        training = Training(epochs=3, batch_size=8, learning_rate=0.02, max_gradient_norm=1.0)
        objective, training = compose_method(
            method, model, training, Peers(), relationship, 2.3, processes
        )
        result = fit(
            model, objective, data, training, Compute(torch.device("cpu"), torch.float32), 3,
            on_epoch=leave, on_batch=passed.append,
            checkpoint=Path(f"{method}.checkpoint"), processes=processes,
        )
        found[method] = {
            "history": result.history, "state": result.state, "best": result.best_epoch,
            "passed": sum(passed),
        }
    torch.save(found, f"{processes.rank}.pt")
"""


def run(folder: Path, script: str, processes: int, *arguments: object) -> list[dict[str, Any]]:
    """What each process saved, of those that came so far."""
    (folder / "script.py").write_text(script)
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone"]
        launcher += ["--nproc-per-node", str(processes)]
    result = subprocess.run(
        [*launcher, "script.py", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert result.returncode == 0, result.stderr
    return [torch.load(path) for path in sorted(folder.glob("[0-9].pt"))]


def test_alone_everything_is_ones_own() -> None:
    with joined_processes() as processes:
        assert processes == ALONE
        assert processes.share(5) == slice(0, 5)
        assert processes.device("cuda:3") == "cuda:3"
        assert torch.equal(processes.gather(torch.arange(3)), torch.arange(3))
        assert processes.mean(torch.tensor(2.0)) == 2
        assert processes.from_first(lambda: 7) == 7


@pytest.mark.parametrize(("length", "count"), [(7, 3), (8, 2), (3, 3), (100, 7)])
def test_shares_are_all_of_it_and_differ_by_one_at_most(length: int, count: int) -> None:
    shares = [range(length)[Processes(rank, count).share(length)] for rank in range(count)]
    assert [place for share in shares for place in share] == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_too_little_to_share_is_refused() -> None:
    with pytest.raises(UserError, match="2 images cannot be dealt out to 3 processes"):
        Processes(0, 3).share(2)
    with pytest.raises(UserError, match="a batch of 9 images cannot be dealt out evenly to 2"):
        Processes(0, 2).check_batch(9)


def test_a_process_takes_no_gpu_that_another_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    processes = Processes(1, 2)
    assert processes.device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert processes.device("auto") == "cuda:1"
    with pytest.raises(UserError, match="2 processes need a GPU each, got"):
        processes.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert processes.device("auto") == "cpu"
    with pytest.raises(UserError, match="cuda and 0 GPUs"):
        processes.device("cuda")


@pytest.mark.slow
def test_what_two_processes_share(tmp_path: Path) -> None:
    first, second = run(tmp_path, SHARED, 2)
    assert [found["part"].tolist() for found in (first, second)] == [[0, 1, 2], [3, 4, 5, 6]]
    for found in (first, second):
        assert found["all"].tolist() == list(range(7))
        assert found["mean"].tolist() == [1.5, 15.0]
        assert found["first"] == 0
    assert (first["first alone"], second["first alone"]) == (True, False)


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    methods = ["vanilla", "co-tuning", "l2-sp"]
    (alone,) = run(tmp_path, FIT, 1, ",".join(methods), 0, 0)
    for path in tmp_path.glob("*.checkpoint"):
        path.unlink()
    both = run(tmp_path, FIT, 2, ",".join(methods), 0, 0)
    assert len(both) == 2
    for process, method in itertools.product(both, methods):
        found, expected = process[method], alone[method]
        assert found["best"] == expected["best"]
        assert found["passed"] == expected["passed"] == 3 * 16
        for record, wanted in zip(found["history"], expected["history"], strict=True):
            assert record == pytest.approx(wanted, rel=1e-4)
        torch.testing.assert_close(found["state"], expected["state"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_processes_go_on_where_they_were_interrupted(tmp_path: Path) -> None:
    whole = run(tmp_path, FIT, 2, "co-tuning", 0.2, 0)
    for pattern in ("*.pt", "*.checkpoint"):
        for path in tmp_path.glob(pattern):
            path.unlink()
    assert run(tmp_path, FIT, 2, "co-tuning", 0.2, 2) == []
    again = run(tmp_path, FIT, 2, "co-tuning", 0.2, 0)
    assert len(again) == 2
    for process, expected in zip(again, whole, strict=True):
        found = process["co-tuning"]
        assert found["passed"] == 16
        assert found["history"] == expected["co-tuning"]["history"]
        torch.testing.assert_close(found["state"], expected["co-tuning"]["state"], rtol=0, atol=0)
