import os
import pickle
from pathlib import Path

import pytest
from PIL import Image, UnidentifiedImageError

from pipeline.common.errors import UserError
from pipeline.datasets.readers.registry import (
    Listing,
    list_image_folder,
)


def save(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), "red").save(root / path)


def rows(listing: Listing) -> list[tuple[str, ...]]:
    return list(listing.samples.itertuples(index=False, name=None))


def test_class_folders_are_listed_sorted_and_without_a_split(tmp_path: Path) -> None:
    save(tmp_path, "dog/b.png", "dog/a.JPG", "cat/deep/er/c.webp", "cat/d.tiff")
    listing = list_image_folder(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert rows(listing) == [
        ("", "cat", "cat/d.tiff"),
        ("", "cat", "cat/deep/er/c.webp"),
        ("", "dog", "dog/a.JPG"),
        ("", "dog", "dog/b.png"),
    ]


@pytest.mark.parametrize("name", ["a.jpeg", "a.PNG", "a.bmp", "a.gif", "a.tif", "a.ppm"])
def test_every_image_suffix_counts(tmp_path: Path, name: str) -> None:
    save(tmp_path, f"cat/{name}", "dog/a.png")
    assert f"cat/{name}" in set(list_image_folder(tmp_path).samples["path"])


def test_hidden_loose_and_other_files_are_ignored(tmp_path: Path) -> None:
    save(tmp_path, "cat/a.png", "dog/a.png", "loose.png", ".hidden/a.png", "cat/.b.png")
    save(tmp_path, "cat/.cache/c.png")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"")
    assert list(list_image_folder(tmp_path).samples["path"]) == ["cat/a.png", "dog/a.png"]


def test_split_folders_give_published_splits(tmp_path: Path) -> None:
    save(tmp_path, "train/cat/a.png", "train/dog/a.png", "val/dog/b.png", "test/cat/c.png")
    save(tmp_path, "train/loose.png", "loose.png")
    assert rows(list_image_folder(tmp_path)) == [
        ("train", "cat", "train/cat/a.png"),
        ("train", "dog", "train/dog/a.png"),
        ("validation", "dog", "val/dog/b.png"),
        ("test", "cat", "test/cat/c.png"),
    ]


def test_only_a_training_split_is_needed(tmp_path: Path) -> None:
    save(tmp_path, "train/cat/a.png", "train/dog/a.png")
    listing = list_image_folder(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert set(listing.samples["split"]) == {"train"}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    save(tmp_path, "bus/a.png", "train/a.png", "train/steam/b.png")
    listing = list_image_folder(tmp_path)
    assert listing.classes == ("bus", "train")
    assert set(listing.samples["split"]) == {""}


def test_the_reader_survives_pickling_and_knows_the_full_path(tmp_path: Path) -> None:
    save(tmp_path, "cat/a.png", "dog/a.png")
    read = pickle.loads(pickle.dumps(list_image_folder(tmp_path).read))
    with read("cat/a.png") as image:
        assert image.size == (4, 3)
    assert read.locate("cat/a.png") == str(tmp_path / "cat" / "a.png")


def test_a_renamed_postscript_file_is_not_run(tmp_path: Path) -> None:
    save(tmp_path, "cat/a.png", "dog/a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "cat" / "b.eps")
    (tmp_path / "cat" / "b.eps").rename(tmp_path / "cat" / "b.jpg")
    with pytest.raises(UnidentifiedImageError):
        list_image_folder(tmp_path).read("cat/b.jpg")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "{root} has no class folder; expected <class>/<images>"),
        (["loose.png"], "{root} has no class folder; expected <class>/<images>"),
        (["train/a.png", "test/cat/a.png"], "{root}/train has no class folder"),
        (["cat/a.png"], "{root} has one class only, cat; expected two or more"),
        (["train/cat/a.png", "val/cat/a.png"], "{root} has one class only, cat"),
        (["val/cat/a.png", "test/cat/a.png"], "{root} has test and val but no train; add train/"),
        (
            ["train/a/1.png", "train/b/1.png", "test/c/1.png", "test/d/1.png"],
            "{root}/test has classes that train/ lacks: c, d; add them to train/",
        ),
        (
            ["train/a/1.png", "train/b/1.png", "val/c/1.png"],
            "{root}/val has classes that train/ lacks: c;",
        ),
        (
            ["train/a/1.png", "train/b/1.png", "validation/a/1.png"],
            "{root}/train holds folders only, as a split does; expected class folders alone, or "
            "splits named train, val and test alone, but got train, validation; rename",
        ),
        (["Training/a/1.png", "Testing/a/1.png"], "{root}/Testing holds folders only"),
    ],
)
def test_a_layout_that_is_not_understood_is_explained(
    tmp_path: Path, paths: list[str], message: str
) -> None:
    save(tmp_path, *paths)
    with pytest.raises(UserError) as caught:
        list_image_folder(tmp_path)
    assert str(caught.value).startswith(message.format(root=tmp_path))
    assert "\n" not in str(caught.value)


def test_a_missing_folder_names_the_parameter_to_correct(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none is no folder; .* correct prepare_data\.root"):
        list_image_folder(tmp_path / "none")
    with pytest.raises(UserError, match=r"correct prepare_data\.source_validation"):
        list_image_folder(tmp_path / "none", "prepare_data.source_validation")


@pytest.mark.parametrize("folder", ["", "train", "test"])
def test_class_folders_without_images_are_named(tmp_path: Path, folder: str) -> None:
    save(tmp_path, *(f"{folder}/{name}/a.png" for name in ("cat", "dog")))
    if folder == "test":
        save(tmp_path, "train/cat/a.png", "train/dog/a.png", "train/emu/a.png", "train/fox/a.png")
    for name in ("emu", "fox"):
        (tmp_path / folder / name / "deep").mkdir(parents=True)
    (tmp_path / folder / "emu" / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match=r"class folders without images: emu, fox; add images"):
        list_image_folder(tmp_path)


def test_a_split_folder_without_classes_is_no_missing_split(tmp_path: Path) -> None:
    save(tmp_path, "train/cat/a.png", "train/dog/a.png", "test/a.png")
    with pytest.raises(UserError, match="test has no class folder"):
        list_image_folder(tmp_path)


def test_a_broken_link_is_listed_so_that_its_loss_is_noticed(tmp_path: Path) -> None:
    save(tmp_path, "cat/a.png", "dog/a.png")
    (tmp_path / "cat" / "b.png").symlink_to(tmp_path / "gone.png")
    assert "cat/b.png" in set(list_image_folder(tmp_path).samples["path"])


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "cat/a.png", "dog/a.png")
    name = os.fsdecode("katze-ä.png".encode("latin-1"))
    try:
        (tmp_path / "cat" / "a.png").rename(tmp_path / "cat" / name)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    with pytest.raises(UserError, match=r"'cat/katze-\\udce4\.png' in .* rename it"):
        list_image_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path: Path) -> None:
    save(tmp_path, "cat/a.png", "cat/more/b.png", "dog/a.png")
    (tmp_path / "cat" / "more").chmod(0)
    with pytest.raises(UserError, match=r"cat/more cannot be listed: Permission denied"):
        list_image_folder(tmp_path)
