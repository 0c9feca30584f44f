"""Storages that open, and what is said of those that do not."""

import sys
from pathlib import Path

import optuna
import pytest
from sharing import Started, let_go
from work import open_when_told

from pipeline.common.errors import UserError
from pipeline.search.storage import losses_explained, open_storage, open_study

SECRET = "hunter2"


@pytest.fixture(params=["sqlite:///{}/trials.db", "{}/trials.log"], ids=["database", "journal"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param.format(tmp_path)


def test_who_opens_the_same_place_sees_the_same_trials(place: str) -> None:
    open_study(place, "x").add_trial(optuna.trial.create_trial(value=2.5))
    assert [trial.value for trial in open_study(place, "x").trials] == [2.5]


@pytest.mark.processes
def test_a_new_place_can_be_opened_by_several_at_once(place: str) -> None:
    processes = [Started(open_when_told, place) for _ in range(4)]
    let_go(*processes)
    assert [process.says() for process in processes] == [0] * 4


def test_braces_in_a_url_are_no_template(tmp_path: Path) -> None:
    open_study(f"sqlite:///{tmp_path}/{{{SECRET}}}.db", "x")
    assert (tmp_path / f"{{{SECRET}}}.db").exists()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("{}/missing/tune.log", "its folder does not exist; make it"),
        ("{}", "cannot be written: Is a directory; name a file"),
        ("/proc/tune.log", "the journal /proc/tune.log cannot be written"),
        ("{}/text.txt", "is no journal of Optuna; name a file that does not exist yet"),
        ("{}/table.json", "is no journal of Optuna"),
        ("{}/image.png", "is no journal of Optuna"),
        ("nosuch://user:hunter2@host/name", "unknown kind nosuch; expected as in postgresql://"),
        ("mysql+cymysql://user:hunter2@host/name", "install it with `pip install cymysql`"),
        ("postgresql://user:hunter2@host:port/name", "is no URL of a database"),
        ("://hunter2", "is no URL of a database; expected as in postgresql://"),
        ("sqlite://", "a database in memory, which no other process sees"),
        ("sqlite:////no/such/folder/tune.db", "sqlite:////no/such/folder/tune.db cannot be used"),
        ("sqlite:///{}/image.png", "file is not a database"),
        ("sqlite://user:hunter2@host/tune.db", "sqlite://user:***@host/tune.db cannot be used"),
        ("sqlite:///file:/no/such/tune.db?uri=true&password=hunter2", "unable to open database"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line_without_the_password(
    place: str, message: str, tmp_path: Path
) -> None:
    files = {
        "text.txt": b"seed: 0\nepochs: 3\n",
        "table.json": b'{"row": 1}\n{"row": 2}\n',
        "image.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        open_storage(place.format(tmp_path))
    text = str(error.value)
    assert message in text
    assert SECRET not in text
    assert len(text.splitlines()) == 1
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


def test_the_driver_that_is_missing_is_named_with_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match=r"pip install 'psycopg\[binary\]'"):
        open_storage(f"postgresql+psycopg://user:{SECRET}@host/name")


def test_a_storage_that_breaks_later_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "trials.db"
    study = open_study(f"sqlite:///file:{file}?uri=true&password={SECRET}", "x")
    file.write_bytes(b"no database any more " * 1000)
    with (
        pytest.raises(UserError, match="`cot stage tune` goes on") as error,
        losses_explained("cot stage tune"),
    ):
        study.set_user_attr("seed", 0)
    assert len(str(error.value).splitlines()) == 1
    assert SECRET not in str(error.value)
