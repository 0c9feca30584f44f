import gzip

import pytest

from pipeline.datasets import fetch


@pytest.fixture
def system_folder(tmp_path, monkeypatch):
    """A folder as the system's package lays it out."""
    folder = tmp_path / "system"
    folder.mkdir()
    for name in fetch.FILES:
        (folder / f"{name}.gz").write_bytes(gzip.compress(name.encode()))
    monkeypatch.setattr(fetch, "SYSTEM_FOLDER", folder)
    return folder


def test_what_the_system_has_is_unpacked(system_folder, tmp_path):
    assert fetch.fetch_fashion_mnist(tmp_path / "raw")
    assert {path.name for path in (tmp_path / "raw").iterdir()} == set(fetch.FILES)
    assert (tmp_path / "raw" / fetch.FILES[0]).read_bytes() == fetch.FILES[0].encode()


def test_what_is_there_is_left_alone(system_folder, tmp_path):
    fetch.fetch_fashion_mnist(tmp_path / "raw")
    (tmp_path / "raw" / fetch.FILES[0]).write_text("kept")
    assert fetch.fetch_fashion_mnist(tmp_path / "raw")
    assert (tmp_path / "raw" / fetch.FILES[0]).read_text() == "kept"


def test_a_damaged_file_leaves_nothing_under_its_name(system_folder, tmp_path):
    (system_folder / f"{fetch.FILES[0]}.gz").write_bytes(b"damaged")
    with pytest.raises(gzip.BadGzipFile):
        fetch.fetch_fashion_mnist(tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


def test_without_any_source_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "SYSTEM_FOLDER", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not fetch.fetch_fashion_mnist(tmp_path / "raw")
