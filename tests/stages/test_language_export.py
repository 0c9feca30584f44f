"""cot export mlflow and cot register of a tagger: what other programs get of it."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pandas as pd
import pytest
import typer
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from served import ask, registered_from, serving
from trained_text import write_trained_text

from pipeline.deployment.pyfunc import load_pyfunc
from pipeline.language.forms.mlflow import entity_difference
from stages.language import exporting
from stages.running import run_stage

pytestmark = pytest.mark.slow
TEXTS = (
    "they bought Globex Corp Acme in Rome .",
    "",
    " \t ",
    "\u200b",  # nothing to the tokenizer
    "Ünknown 漢字 🙂 Tom\u00a0Smith sleeps \u200b in Oslo",
    "in Rome it rains " * 400,  # enters in parts of nine sub-words
    "\x00\x1f Rome",
)
# Without the links of packages, by which the project is installed, and without a network.
SERVED = """
import importlib.util, json, socket, sys
sys.path.append(sys.argv[1])
asked = []
def refuse(*address):
    asked.append(address)
    raise OSError("there is no network")
socket.socket.connect = refuse
assert not any(map(importlib.util.find_spec, ("pipeline", "stages")))
sys.modules |= dict.fromkeys(["timm", "torchvision", "jaxtyping", "typer"])
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[2])
found = model.predict(pd.DataFrame({"text": json.loads(sys.argv[3])}))
import pipeline
assert not asked, asked
print(json.dumps({"code": pipeline.__file__, "entities": found["entities"].tolist()}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A project in which vanilla was fine-tuned and judged."""
    return write_trained_text(tmp_path_factory.mktemp("export"), empty_database)


@pytest.fixture
def at(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(trained)
    return trained


def export(output: Path) -> None:
    run_stage("export", None, None, seed=None, form="mlflow", method=None, output=output)


def register(name: str, alias: str | None) -> None:
    run_stage("register", None, None, seed=None, name=name, method=None, alias=alias)


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trained)
        export(folder := tmp_path_factory.mktemp("exported") / "model")
    return folder


def predicted(folder: Path) -> list[tuple[Any, ...]]:
    """Line, text, type and probability of the entities of TEXTS, as `cot predict` tells them."""
    (folder / "mine.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    output = folder / "found.jsonl"
    given = {"method": None, "form": "json", "output": output, "top": 3}
    run_stage("predict", None, None, seed=None, files=[folder / "mine.txt"], **given)
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    return [(row["line"], row["text"], row["class"], approximately(row)) for row in rows]


def approximately(row: dict[str, Any]) -> Any:
    return pytest.approx(row["probability"], abs=1e-4)


def served(uri: str, root: Path, texts: tuple[str, ...]) -> dict[str, Any]:
    """What SERVED prints of a model."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db", "DO_NOT_TRACK": "true"}
    packages = sysconfig.get_paths()["purelib"]
    result = subprocess.run(
        [sys.executable, "-S", "-c", SERVED, packages, uri, json.dumps(texts)],
        **{"capture_output": True, "text": True, "cwd": "/", "env": environment},
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_it_answers_as_cot_predict_where_the_project_is_not(
    at: Path, exported: Path, tmp_path: Path
) -> None:
    answer = served(str(exported), at, TEXTS)
    assert answer["code"].startswith(str(exported))
    assert len(answer["entities"]) == len(TEXTS)
    told = [
        (line, one["text"], one["type"], one["probability"])
        for line, found in enumerate(answer["entities"], 1)
        for one in found
    ]
    assert told == predicted(tmp_path)
    assert [len(found) > 0 for found in answer["entities"]] == [True, *[False] * 3, *[True] * 3]
    for text, found in zip(TEXTS, answer["entities"], strict=True):
        for one in found:
            assert one.keys() == {"first", "end", "text", "type", "probability"}
            assert " ".join(text.split()[one["first"] : one["end"]]) == one["text"]


def test_what_lies_beside_it_says_what_it_is(
    at: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tagger"
    export(folder)
    said = capsys.readouterr().out
    assert re.search(r"on 30 sentences of the test the same [1-9]\d entities as PyTorch, pr", said)
    about = json.loads((folder / "model.json").read_text())
    metrics = json.loads((at / "data/evaluate/vanilla/seed-0/metrics.json").read_text())
    assert (about["types"], about["longest"]) == (["LOC", "ORG", "PER"], 9)
    assert about["metrics"] == metrics
    assert str(at) not in "".join(path.read_text() for path in folder.glob("*.json"))
    assert "torch==" in (folder / "requirements.txt").read_text()
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".bin", ".pt"}]
    (code,) = re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))  # MLflow puts the model's code before it
    exec(code, {})
    assert "PER Ann Smith 0." in capsys.readouterr().out


def test_a_registered_tagger_knows_what_is_behind_it(at: Path) -> None:
    register("find them", "champion")
    client = MlflowClient(f"sqlite:///{at / 'mlflow.db'}")
    version = client.get_model_version_by_alias("find them", "champion")
    words = "input.data/prepare-data/tokens.safetensors"
    run, metrics = registered_from(at, client, version, words)
    assert version.tags["seed"] == "0"
    assert version.tags["metric.f1"] == f"{metrics['f1']:.4g}"
    assert "find LOC, ORG, PER" in version.description
    numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
    assert run.data.metrics == numbers
    assert numbers.keys() == metrics.keys() - {"by_type", "intervals"}
    answer = served("models:/find them@champion", at, TEXTS[:1])
    assert [one["text"] for one in answer["entities"][0]][:2] == ["Globex Corp", "Acme"]
    register("find them", None)
    assert client.get_model_version_by_alias("find them", "champion").version == version.version
    assert len(client.search_model_versions("name = 'find them'")) == 2


@pytest.mark.parametrize(("name", "alias"), [("a/b", None), (" ", None), ("ab", "v2")])
def test_a_name_that_mlflow_refuses_is_refused_before_any_work(
    at: Path, name: str, alias: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        register(name, alias)
    assert re.search("got '.*'.*; give ", capsys.readouterr().err)


def test_what_is_no_text_is_refused_by_its_row(exported: Path) -> None:
    model = load_pyfunc(exported)
    for odd, why in ((3, "int"), (None, "nothing"), (b"Rome", "bytes"), ("a\ud800", "half of a")):
        texts = pd.DataFrame({"text": pd.Series(["in Rome", odd], dtype=object)})
        with pytest.raises(MlflowException, match=f"row 1: (got )?{why}"):
            model.predict(texts)
    assert model.predict(pd.DataFrame({"text": pd.Series([], dtype=str)})).empty


def test_one_that_answers_otherwise_is_not_kept(
    at: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporting, "entities_by_line", lambda lines, find: [[] for _ in lines])
    with pytest.raises(typer.Exit):
        export(tmp_path / "model")
    assert "finds other entities than PyTorch on 30 sentences" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_difference_is_of_the_same_entities() -> None:
    one = {"first": 0, "end": 2, "text": "Ann Smith", "type": "PER", "probability": 0.75}
    assert entity_difference([[], [one]], [[], [one | {"probability": 0.5}]]) == 0.25
    assert entity_difference([[], []], [[], []]) == 0
    for other in ([[one], []], [[], [one, one]], [[], [one | {"type": "LOC"}]], [[], []]):
        assert entity_difference([[], [one]], other) == float("inf")


@pytest.mark.processes
def test_mlflow_serves_it(exported: Path, tmp_path: Path) -> None:
    with serving(exported, tmp_path / "log") as address:
        first, second = ask(address, TEXTS[0], "", column="text")["predictions"]
        assert [one["type"] for one in first["entities"]][:3] == ["ORG", "ORG", "LOC"]
        assert second == {"entities": []}
        with pytest.raises(HTTPError) as refused:
            ask(address, "in Rome", None, column="text")
        assert refused.value.code == 400
        assert "row 1: got nothing; expected a text" in refused.value.read().decode()
