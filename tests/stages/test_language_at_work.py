"""A fine-tuned tagger at work: on a user's own sentences, and in transformers."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import transformers
import typer
from trained_text import write_trained_text

from pipeline import params
from pipeline.checks import checked
from pipeline.language.tagging import read_text
from stages.language.checks import checks_of, source_model
from stages.running import run_stage


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A project in which vanilla was fine-tuned and judged."""
    return write_trained_text(tmp_path_factory.mktemp("tagging"), empty_database)


@pytest.fixture
def at(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def predict(*files: str, form: str = "json", output: Path | None = None, top: int = 3) -> None:
    given = {"method": None, "form": form, "output": output, "top": top}
    run_stage("predict", None, None, seed=None, files=[Path(file) for file in files], **given)


def test_the_entities_are_those_that_evaluate_counted(at: Path, tmp_path: Path) -> None:
    judged = pd.read_csv(at / "data/evaluate/vanilla/seed-0/predictions.csv", na_filter=False)
    texts = (at / "text/test.txt").read_text().split("\n\n")[1:]
    sentences = [[line.split()[0] for line in text.splitlines()] for text in texts if text.strip()]
    expected = []
    for line, (words, (_, own)) in enumerate(
        zip(sentences, judged.groupby("sentence"), strict=True), 1
    ):
        tags = [*own.sort_values("word")["prediction"], "O"]
        starts = [place for place, tag in enumerate(tags) if tag.startswith("B-")]
        for start in starts:
            end = next(p for p in range(start + 1, len(tags)) if not tags[p].startswith("I-"))
            expected.append((line, " ".join(words[start:end]), tags[start].removeprefix("B-")))
    own = tmp_path / "mine.txt"
    own.write_text("".join(" ".join(words) + "\n" for words in sentences))
    output = tmp_path / "found.jsonl"
    predict(str(own), output=output)
    rows: list[dict[str, Any]] = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(row["line"], row["text"], row["class"]) for row in rows] == expected
    for row in rows:
        assert row["path"] == str(own)
        assert len(row["top"]) == 3
        assert 0 < row["probability"] <= row["top"][0]["probability"] <= 1


def test_what_cannot_be_read_is_listed_and_the_rest_is_shown(
    at: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("in Rome it rains\n\n  \nAnn Smith sleeps " + "they " * 20)
    (tmp_path / "b.txt").write_bytes("Málaga".encode("latin-1"))
    predict(str(tmp_path), form="table")
    shown = capsys.readouterr()
    assert "Rome" in shown.out
    assert "in 2 sentences, by vanilla." in shown.out
    assert "1 of 2 files cannot be read" in shown.err
    assert "not in UTF-8" in shown.err


def test_transformers_finds_the_same_entities_in_an_export(
    at: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tagger"
    run_stage("export", None, None, seed=None, form="hugging-face", method=None, output=folder)
    assert "on 30 sentences of the test" in " ".join(capsys.readouterr().out.split())
    text = "they bought Globex Corp Acme in Rome"
    (tmp_path / "mine.txt").write_text(text)
    predict(str(tmp_path / "mine.txt"), output=tmp_path / "found.jsonl")
    own = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    tag = transformers.pipeline(
        "token-classification", model=str(folder), aggregation_strategy="first"
    )
    found = [(one["entity_group"], one["word"]) for one in tag(text)]
    assert found == [(row["class"], row["text"]) for row in own]
    assert found
    card = (folder / "README.md").read_text()
    assert "find LOC, ORG, PER" in card
    assert "| f1 | " in card
    description = json.loads((folder / "model.json").read_text())
    assert description["runs"].keys() >= {"prepare-data", "fine-tune", "evaluate"}


def test_two_runs_are_compared_on_the_same_sentences(
    at: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated = "evaluate@vanilla-0"
    run_stage("compare", None, None, first=evaluated, second=evaluated)
    shown = " ".join(capsys.readouterr().out.split())
    assert "On the same 30 sentences the second is +0.0 points of F1 to the first" in shown
    assert "token_accuracy" in shown
    run_stage("compare", None, None, first=evaluated, second="fine-tune@vanilla-0")
    assert "only runs of evaluate have predictions" in capsys.readouterr().out


def test_doctor_looks_at_the_text_and_at_the_model(at: Path, tmp_path: Path) -> None:
    values = params.load_project(at / "params.yaml")
    assert isinstance(values, params.LanguageParams)
    found = {title: checked(title, check, 60) for title, check in checks_of(values, at).items()}
    assert {finding.state for finding in found.values()} == {"good"}
    assert found["text"].text == "106 sentences with entities of LOC, ORG, PER in text"
    (tmp_path / "text").mkdir()
    (tmp_path / "text/train.txt").write_text("Rome NN I-NP I-LOC\n")
    broken = checked("text", checks_of(values, tmp_path)["text"], 60)
    assert broken.state == "mend"
    assert "train.txt:1: I-LOC follows O" in broken.text
    gone = source_model(f"hf:{tmp_path / 'nowhere'}")
    assert gone.state == "mend"


def test_no_other_form_is_taken(at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        run_stage("export", None, None, seed=None, form="onnx", method=None, output=None)
    assert "is exported as hugging-face or mlflow" in capsys.readouterr().err


def test_a_mark_of_the_byte_order_is_no_part_of_a_word(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Rome rains", encoding="utf-8-sig")
    [sentence] = read_text(tmp_path / "a.txt")
    assert sentence.tokens == ("Rome", "rains")


def test_words_that_the_tokenizer_makes_nothing_of_are_no_entities(
    at: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("\u200b\n", encoding="utf-8")
    predict(str(tmp_path / "a.txt"), output=tmp_path / "found.jsonl")
    assert not (tmp_path / "found.jsonl").read_text()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere", "nowhere does not exist; name files of text"),
        ("data/evaluate", "there is no .txt file in data/evaluate"),
        ("empty.txt", "there is no sentence to read"),
    ],
)
def test_mistakes_are_one_line(
    at: Path, place: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (at / "empty.txt").write_text("\n")
    with pytest.raises(typer.Exit):
        predict(place)
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
