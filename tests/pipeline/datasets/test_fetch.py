import gzip
import shutil
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

from pipeline.datasets import drawings, fetch

EMOJI = """\
# subgroup: heart
2764 FE0F            ; fully-qualified     # ❤️ E0.6 red heart
2764                 ; unqualified         # ❤ E0.6 red heart
2764 FE0F 200D 1F525 ; fully-qualified     # ❤️‍🔥 E13.1 heart on fire
# subgroup: emotion
1F4AF                ; fully-qualified     # 💯 E0.6 hundred points
1F6D8                ; fully-qualified     # 🛘 E17.0 landslide
# subgroup: hair-style
1F9B0                ; component           # 🦰 E11.0 red hair
# subgroup: keycap
1F51F                ; fully-qualified     # 🔟 E0.6 keycap: 10
# subgroup: geometric
25AA FE0F            ; fully-qualified     # ▪️ E0.6 black small square
"""


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine on which the packages are installed, with another font for the emoji."""
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
    for name in (fetch.EMOJI_FONT, fetch.EMOJI_LIST):
        (root / name).parent.mkdir(parents=True)
    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    shutil.copyfile(font, root / fetch.EMOJI_FONT)
    (root / fetch.EMOJI_LIST).write_text(EMOJI, encoding="utf-8")
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


def test_drawings_are_the_single_emoji_of_each_class_up_to_one_version(system, tmp_path):
    assert fetch.fetch_drawings(tmp_path / "raw/drawings")
    found = {
        path.relative_to(tmp_path / "raw").as_posix() for path in (tmp_path / "raw").rglob("*.*")
    }
    assert found == {
        "drawings/hearts and emotions/02764.png",
        "drawings/hearts and emotions/1f4af.png",
        "drawings/shapes/025aa.png",
    }


def test_a_drawing_is_a_square_on_white(system, tmp_path):
    fetch.fetch_drawings(tmp_path / "drawings")
    with Image.open(tmp_path / "drawings/hearts and emotions/02764.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (128, 128))
        assert image.getpixel((0, 0)) == (255, 255, 255)
        assert image.convert("L").getextrema() == (0, 255)


def test_a_subgroup_of_emoji_belongs_to_one_class():
    subgroups = [name for several in drawings.CLASSES.values() for name in several]
    assert len(subgroups) == len(set(subgroups))


def test_what_is_there_is_left_alone(system, tmp_path):
    fetch.fetch_fashion_mnist(tmp_path / "raw")
    (tmp_path / "raw" / fetch.FILES[0]).write_text("kept")
    assert fetch.fetch_fashion_mnist(tmp_path / "raw")
    assert (tmp_path / "raw" / fetch.FILES[0]).read_text() == "kept"
    for name in ("photographs", "drawings"):
        (tmp_path / name).mkdir()
        assert fetch.FETCHERS[name](tmp_path / name)
        assert not list((tmp_path / name).iterdir())


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
    (system / fetch.EMOJI_FONT).write_bytes(b"damaged")
    with pytest.raises(OSError, match="unknown file format"):
        fetch.fetch_drawings(tmp_path / "drawings/raw")
    assert list((tmp_path / "drawings").iterdir()) == []


def test_without_any_source_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "SYSTEM_ROOT", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not fetch.fetch_fashion_mnist(tmp_path / "raw")
    assert not fetch.fetch_photographs(tmp_path / "photographs")
    assert not fetch.fetch_drawings(tmp_path / "drawings")


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
