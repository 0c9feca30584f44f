"""Nothing that a user brings is run, no list leads out of its folder, no password is told."""

import ast
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from layouts import coco_70, cub_200_2011, edit_lines
from prepared_project import cot, write_prepared

from pipeline.artifacts.images import read_images
from pipeline.artifacts.tensors import read_logits, read_relationship, read_weights
from pipeline.common.errors import UserError
from pipeline.datasets.readers.coco_70 import list_coco_70
from pipeline.datasets.readers.cub_200_2011 import list_cub_200_2011
from pipeline.datasets.readers.published import ANY
from pipeline.datasets.readers.source_validation import list_labelled_files
from pipeline.sources.weights import read_state

ROOT = Path(__file__).parents[1]
SECRET = "hunter2-of-the-store"
COT = "from stages.entry import main; main()"
# What runs, or may run, what is in a file.
UNPICKLING = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}


def calls() -> list[tuple[str, str, ast.Call]]:
    """File, dotted name and node of every call in the code that runs at a user's."""
    files = [path for room in ("pipeline", "stages") for path in (ROOT / room).rglob("*.py")]
    return [
        (path.relative_to(ROOT).as_posix(), ast.unparse(node.func), node)
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def test_no_call_unpickles() -> None:
    found = calls()
    loads = [(file, node) for file, name, node in found if name == "torch.load"]
    assert len(loads) >= 3
    for file, node in loads:
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert given.get("weights_only") == "True", file
    for file, name, node in found:
        room, _, function = name.rpartition(".")
        assert not (room in UNPICKLING and function.startswith("load")), file
        assert name not in ("eval", "exec", "pd.read_pickle", "torch.hub.load"), file
        words = {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert words.get("allow_pickle") in (None, "False"), file
        assert words.get("trust_remote_code") in (None, "False"), file
        if function == "from_pretrained":
            assert words.get("trust_remote_code") == "False", file


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.sprung),)


def as_bytes(sprung: Path) -> bytes:
    return pickle.dumps({"state_dict": Trap(sprung)})


def as_old_torch(sprung: Path, path: Path) -> None:
    torch.save({"a": Trap(sprung)}, path, _use_new_zipfile_serialization=False)


def test_a_trap_springs_where_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(as_bytes(tmp_path / "sprung"))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "read",
    [
        read_state,
        read_images,
        read_weights,
        lambda path: read_logits(path, 2),
        lambda path: read_relationship(path, 2),
    ],
    ids=["weights", "images", "model", "logits", "relationship"],
)
def test_nothing_that_is_read_springs_a_trap(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    sprung = tmp_path / "sprung"
    for name in ("file.pt", "file.npy", "file.safetensors"):
        path = tmp_path / name
        traps: list[Callable[[], object]] = [
            lambda path=path: path.write_bytes(as_bytes(sprung)),
            lambda path=path: torch.save({"a": Trap(sprung)}, path),
            lambda path=path: as_old_torch(sprung, path),
            lambda path=path: np.array([Trap(sprung)], dtype=object).dump(path),
            lambda path=path: np.save(path.open("wb"), np.array([Trap(sprung)], dtype=object)),
        ]
        for write in traps:
            write()
            with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind
                read(path)
            assert not sprung.exists()


OUT = ["../../secret.jpg", "/etc/hostname", "a/../../../secret.jpg"]


@pytest.mark.parametrize("path", OUT)
def test_a_published_list_does_not_lead_out_of_its_folder(path: str, tmp_path: Path) -> None:
    birds = cub_200_2011(tmp_path / "birds")
    (tmp_path / "secret.jpg").write_bytes(b"x")
    edit_lines(birds / "images.txt", {0: f"1 {path if path[0] != '/' else '../../..' + path}"})
    things = coco_70(tmp_path / "things")
    edit_lines(things / "train.txt", {0: f"{path if path[0] != '/' else '../../..' + path} 0"})
    for read in (
        lambda: list_cub_200_2011(birds, ANY),
        lambda: list_coco_70(things, ANY),
    ):
        with pytest.raises(UserError, match="outside of"):
            read()


@pytest.mark.parametrize("path", OUT)
def test_a_list_of_source_images_does_not_lead_out_of_its_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.txt").write_text(f"{path} tench\n")
    with pytest.raises(UserError, match="outside of"):
        list_labelled_files(tmp_path / "images", tmp_path / "labels.txt")


def test_a_database_that_cannot_be_reached_does_not_tell_its_password(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    write_prepared(project)
    for uri in (
        f"postgresql://cot:{SECRET}@127.0.0.1:9/runs",
        f"nonsense://cot:{SECRET}@127.0.0.1:9/runs",
        f"sqlite:////dev/null/x.db?password={SECRET}",
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        result = cot("stage", "calibrate")
        assert result.exit_code == 1
        assert SECRET not in result.output + str(result.exception)


@pytest.mark.slow
@pytest.mark.processes
def test_the_password_of_a_store_is_nowhere(project: Path) -> None:
    """Not in what a stage prints, in the list of processes, in a run, or in any file."""
    write_prepared(project)
    database = f"sqlite:///file:{project}/tune.db?uri=true&password={SECRET}"
    for storage, code in (
        (database, 0),
        (f"sqlite:///file:/no/such/tune.db?uri=true&password={SECRET}", 1),
    ):
        process = psutil.Popen(
            [sys.executable, "-c", COT, "stage", "tune", "--workers", "2"],
            cwd=project,
            env=os.environ | {"COT_STORAGE": storage, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seen = set()
        while process.poll() is None:
            for one in (process, *process.children(recursive=True)):
                try:
                    seen.add(" ".join(one.cmdline()))
                except psutil.Error:
                    continue
            time.sleep(0.3)
        printed = process.stdout.read()
        assert process.returncode == code, printed
        assert any("stage tune" in command for command in seen)
        assert not [command for command in seen if SECRET in command]
        assert SECRET not in printed
    files = [path for path in project.rglob("*") if path.is_file()]
    assert project / "mlflow.db" in files
    assert project / "tune.db" in files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
