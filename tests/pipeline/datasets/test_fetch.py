import gzip

import pytest

from pipeline.datasets import fetch


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine on which both packages are installed."""
    root = tmp_path / "system"
    folder = root / "usr/share/datasets/fashion-mnist"
    folder.mkdir(parents=True)
    for name in fetch.FILES:
        (folder / f"{name}.gz").write_bytes(gzip.compress(name.encode()))
    for stamps in fetch.PHOTOGRAPHS.values():
        stamp = root / "usr/share/tuxpaint/stamps" / stamps / "kind" / "one.png"
        stamp.parent.mkdir(parents=True)
        for name in ("one.png", "one_mirror.png", "one.txt"):
            stamp.with_name(name).write_text(f"{stamps} {name}")
    monkeypatch.setattr(fetch, "SYSTEM_ROOT", root)
    return root


def test_what_the_system_has_is_unpacked(system, tmp_path):
    assert fetch.fetch_fashion_mnist(tmp_path / "raw")
    assert {path.name for path in (tmp_path / "raw").iterdir()} == set(fetch.FILES)
    assert (tmp_path / "raw" / fetch.FILES[0]).read_bytes() == fetch.FILES[0].encode()


def test_photographs_lie_in_a_folder_a_class_without_their_mirror_images(system, tmp_path):
    assert fetch.fetch_photographs(tmp_path / "raw/photographs")
    found = {path.relative_to(tmp_path / "raw") for path in (tmp_path / "raw").rglob("*.*")}
    names = {str(path) for path in found}
    assert names == {f"photographs/{name}/kind-one.png" for name in fetch.PHOTOGRAPHS}
    assert (tmp_path / "raw/photographs/fish/kind-one.png").read_text() == "animals/fish one.png"


def test_what_is_there_is_left_alone(system, tmp_path):
    fetch.fetch_fashion_mnist(tmp_path / "raw")
    (tmp_path / "raw" / fetch.FILES[0]).write_text("kept")
    assert fetch.fetch_fashion_mnist(tmp_path / "raw")
    assert (tmp_path / "raw" / fetch.FILES[0]).read_text() == "kept"
    (tmp_path / "photographs").mkdir()
    assert fetch.fetch_photographs(tmp_path / "photographs")
    assert not list((tmp_path / "photographs").iterdir())


def test_a_damaged_package_leaves_nothing_under_a_final_name(system, tmp_path):
    packed = system / "usr/share/datasets/fashion-mnist" / f"{fetch.FILES[0]}.gz"
    packed.write_bytes(b"damaged")
    with pytest.raises(gzip.BadGzipFile):
        fetch.fetch_fashion_mnist(tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
    stamp = system / "usr/share/tuxpaint/stamps/vehicles/kind/one.png"
    stamp.unlink()
    stamp.symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        fetch.fetch_photographs(tmp_path / "photographs/raw")
    assert list((tmp_path / "photographs").iterdir()) == []


def test_without_any_source_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "SYSTEM_ROOT", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not fetch.fetch_fashion_mnist(tmp_path / "raw")
    assert not fetch.fetch_photographs(tmp_path / "photographs")


@pytest.mark.parametrize(
    ("name", "status", "advice"),
    [
        ("photographs", 1, "point prepare_data.root at a folder of your own images"),
        ("fashion-mnist", 0, "prepare-data will try to download it"),
    ],
)
def test_without_any_source_one_line_says_what_to_do(
    tmp_path, monkeypatch, capsys, name, status, advice
):
    monkeypatch.setattr(fetch, "SYSTEM_ROOT", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fetch.main(name, tmp_path / "raw") == status
    message = capsys.readouterr().err
    assert advice in message
    assert message.count("\n") == 1
    assert not (tmp_path / "raw").exists()


def test_nothing_is_said_of_what_is_fetched(system, tmp_path, capsys):
    assert fetch.main("photographs", tmp_path / "photographs") == 0
    assert capsys.readouterr().err == ""
