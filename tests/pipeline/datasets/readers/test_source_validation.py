import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.datasets.readers.registry import list_image_folder
from pipeline.datasets.readers.source_validation import (
    add_source_validation,
    list_labelled_files,
    list_source_validation,
    reading_both,
)
from pipeline.datasets.splits import build_manifest
from pipeline.sources.categories import match_categories
from pipeline.sources.source_model import IMAGENET_CATEGORIES


def fill(root, folders, grey):
    for name in folders:
        (root / name).mkdir(parents=True)
        for index in range(5):
            Image.new("L", (8, 8), grey).save(root / name / f"{index}.png")


def with_source(listing, manifest, root, labels_file=None):
    """The listing and the manifest with the source images, and what their categories are called."""
    source = list_source_validation(root, labels_file)
    return reading_both(listing, source), add_source_validation(manifest, source), source.classes


def test_source_images_become_one_more_split_with_labels_of_their_own(tmp_path):
    fill(tmp_path / "target", ["cat", "dog", "emu"], 10)
    fill(tmp_path / "source", ["tench", "goldfish"], 200)
    listing = list_image_folder(tmp_path / "target")
    manifest = build_manifest(
        listing, images_per_class=None, val_fraction=0.2, test_fraction=0.2, test_limit=None, seed=0
    )
    both, longer, folders = with_source(listing, manifest, tmp_path / "source")
    added = longer[longer["split"] == "source-validation"]
    assert folders == ("goldfish", "tench")
    assert sorted(added["label"]) == [0] * 5 + [1] * 5
    assert longer["row"].tolist() == list(range(25))
    assert longer[: len(manifest)].equals(manifest)
    greys = [int(np.asarray(both.read(path)).mean()) for path in longer["path"]]
    assert greys == [10] * 15 + [200] * 10
    assert both.read.locate(added["path"].iloc[0]).startswith(str(tmp_path / "source"))


def test_a_missing_folder_names_the_param_to_correct(tmp_path):
    fill(tmp_path / "target", ["cat", "dog"], 10)
    listing = list_image_folder(tmp_path / "target")
    with pytest.raises(UserError, match=r"prepare_data\.source_validation"):
        with_source(listing, None, tmp_path / "none")


# The first five of ILSVRC2012's validation images, by WordNet id, index and name.
PUBLISHED = {
    "ILSVRC2012_val_00000001.JPEG": ("n01751748", "65", "sea snake"),
    "ILSVRC2012_val_00000002.JPEG": ("n09193705", "970", "alp"),
    "ILSVRC2012_val_00000003.JPEG": ("n02105855", "230", "Shetland sheepdog"),
    "ILSVRC2012_val_00000004.JPEG": ("n04263257", "809", "soup bowl"),
    "ILSVRC2012_val_00000005.JPEG": ("n03125729", "516", "cradle"),
}


@pytest.fixture
def target(tmp_path):
    fill(tmp_path / "target", ["cat", "dog"], 10)
    listing = list_image_folder(tmp_path / "target")
    manifest = build_manifest(
        listing, images_per_class=None, val_fraction=0.2, test_fraction=0.2, test_limit=None, seed=0
    )
    return listing, manifest


@pytest.fixture
def flat(tmp_path):
    """A folder as ILSVRC2012_img_val.tar unpacks, each image as bright as its number."""
    folder = tmp_path / "val"
    folder.mkdir()
    for number, name in enumerate(PUBLISHED, 1):
        Image.new("L", (8, 8), number * 20).save(folder / name)
    return folder


def labelled(flat, lines):
    file = flat.parent / "labels.txt"
    file.write_text("\n".join(lines))
    return file


def brightness_by_category(both, longer, names):
    """Of the source images: category in the model's order, and how bright the image is."""
    added = longer[longer["split"] == "source-validation"]
    categories = match_categories(names, IMAGENET_CATEGORIES)
    return {
        categories[row.label]: round(np.asarray(both.read(row.path)).mean() / 20)
        for row in added.itertuples()
    }


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_flat_folder_is_labelled_by_a_file(target, flat, column):
    lines = [f"{name} {labels[column]}" for name, labels in reversed(PUBLISHED.items())]
    both, longer, names = with_source(*target, flat, labelled(flat, ["", *lines, ""]))
    assert brightness_by_category(both, longer, names) == {65: 1, 970: 2, 230: 3, 809: 4, 516: 5}
    assert longer["row"].tolist() == list(range(15))


def test_folders_by_wordnet_id_are_in_the_order_of_the_model(target, tmp_path):
    for number, (name, labels) in enumerate(PUBLISHED.items(), 1):
        (tmp_path / "val" / labels[0]).mkdir(parents=True)
        Image.new("L", (8, 8), number * 20).save(tmp_path / "val" / labels[0] / name)
    found = brightness_by_category(*with_source(*target, tmp_path / "val"))
    assert found == {65: 1, 970: 2, 230: 3, 809: 4, 516: 5}


def test_images_that_the_file_does_not_list_are_left_out(flat):
    listing = list_labelled_files(flat, labelled(flat, ["ILSVRC2012_val_00000003.JPEG 230"]))
    assert listing.samples["path"].tolist() == ["ILSVRC2012_val_00000003.JPEG"]


def test_files_may_lie_in_folders_below(flat):
    (flat / "a b").mkdir()
    (flat / "part").mkdir()
    (flat / "ILSVRC2012_val_00000001.JPEG").rename(flat / "part" / "1.JPEG")
    listing = list_labelled_files(flat, labelled(flat, ["part/1.JPEG\tsea snake "]))
    assert listing.samples[["class_name", "path"]].values.tolist() == [["sea snake", "part/1.JPEG"]]


FIRST = "ILSVRC2012_val_00000001.JPEG"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["490", "361"], r"labels.txt, line 1: got '490', expected a file's name and its label"),
        ([f"{FIRST} 65", FIRST], r"line 2: got 'ILSVRC2012_val_00000001.JPEG', expected"),
        ([f"{FIRST} 65", "", f"{FIRST} 66"], r"line 3: ILSVRC2012_val_00000001.JPEG is listed"),
        (
            [f"{FIRST} 65", "ILSVRC2012_val_00000009.JPEG 674", "more.JPEG 1"],
            r"2 of 3 images that .*labels.txt lists are not in .*val: ILSVRC2012_val_00000009.JPEG,"
            r" more.JPEG; complete the folder, or correct prepare_data\.source_validation",
        ),
        ([], r"labels.txt lists no image"),
    ],
)
def test_a_file_that_does_not_describe_the_folder_is_refused(flat, lines, message):
    with pytest.raises(UserError, match=message) as caught:
        list_labelled_files(flat, labelled(flat, lines))
    assert "\n" not in str(caught.value)


def test_an_unknown_wordnet_id_in_the_file_is_named(flat):
    listing = list_labelled_files(flat, labelled(flat, [f"{FIRST} n00000000"]))
    with pytest.raises(UserError, match=r"1 folders or labels are no source .* 'n00000000'"):
        match_categories(listing.classes, IMAGENET_CATEGORIES)


def test_a_missing_file_or_folder_is_named(flat):
    with pytest.raises(UserError, match=r"source_labels: .*absent.txt: No such file"):
        list_labelled_files(flat, flat / "absent.txt")
    with pytest.raises(UserError, match=r"none is no folder; .* prepare_data.source_validation"):
        list_labelled_files(flat / "none", labelled(flat, [f"{FIRST} 65"]))
    (flat / "binary.txt").write_bytes(b"\xff\xfe a")
    with pytest.raises(UserError, match="is not text in UTF-8"):
        list_labelled_files(flat, flat / "binary.txt")
