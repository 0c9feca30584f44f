import pickle
import typing
from pathlib import Path

import numpy as np
import pytest
from layouts import CARS, COLOURS, COUNTS, edit_lines, fgvc_aircraft, stanford_cars
from torchvision import datasets
from torchvision_layouts import BUILDERS, LAND, MEALS, SCENES, TEXTURES

from pipeline.common.errors import UserError
from pipeline.datasets.readers.published import ANY, Counts
from pipeline.datasets.readers.registry import PUBLISHED_SOURCES, list_source
from pipeline.datasets.readers.torchvision_sets import SETS, list_torchvision_set
from pipeline.datasets.store.decode import to_square
from pipeline.params.prepare_data_section import SourceName

CLASSES = {
    "Flowers102": ("pink primrose", "hard-leaved pocket orchid", "canterbury bells"),
    "OxfordIIITPet": ("Abyssinian", "American Bulldog", "Egyptian Mau"),
    "DTD": TEXTURES,
    "Food101": MEALS,
    "EuroSAT": LAND,
    "CIFAR10": ("cat", "dog", "frog"),
    "CIFAR100": ("cat", "dog", "frog"),
    "SUN397": ("abbey", "apartment_building/outdoor", "zoo"),
    "Caltech101": ("Faces", "airplanes", "yin_yang"),
}
IMAGES = {
    "Flowers102": {"train": 12, "validation": 6, "test": 9},
    "OxfordIIITPet": {"train": 18, "test": 9},
    "DTD": {"train": 12, "validation": 6, "test": 9},
    "Food101": {"train": 18, "test": 9},
    "EuroSAT": {"": 27},
    "CIFAR10": {"train": 45, "test": 9},
    "CIFAR100": {"train": 9, "test": 9},
    "SUN397": {"": 27},
    "Caltech101": {"": 27},
}


def refusal(name: str, root: Path, expected_counts="any") -> str:
    with pytest.raises(UserError) as caught:
        list_source(name, root, expected_counts)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{root}", "root")


def test_the_params_name_every_source_and_no_other() -> None:
    assert {*typing.get_args(SourceName)} == {"image-folder", *PUBLISHED_SOURCES}


@pytest.mark.parametrize("name", BUILDERS)
def test_splits_and_classes_are_those_of_the_data_set(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BUILDERS[name](tmp_path, monkeypatch)
    listing = list_torchvision_set(name, tmp_path, Counts(3, IMAGES[name]))
    assert listing.classes == CLASSES[name]
    assert listing.samples["split"].value_counts().to_dict() == IMAGES[name]
    for class_name, group in listing.samples.groupby("class_name"):
        label = CLASSES[name].index(str(class_name))
        for path in group["path"]:
            with listing.read(path) as image:
                mode, square = image.mode, to_square(image, 8)
            expected = np.array(COLOURS[label])
            if mode == "L":
                expected = np.full(3, expected @ (0.299, 0.587, 0.114))
            assert np.abs(square.mean(axis=(0, 1)) - expected).max() < 10


@pytest.mark.parametrize("name", BUILDERS)
def test_another_number_than_published_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BUILDERS[name](tmp_path, monkeypatch)
    split, published = next(iter(SETS[name].counts.images.items()))
    assert refusal(name, tmp_path, "published").startswith(
        f"root/{SETS[name].folder}: expected {published:,} images{f' for {split}' if split else ''}"
        f", found {IMAGES[name][split]}; "
    )


def test_too_few_classes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BUILDERS["Flowers102"](tmp_path, monkeypatch)
    with pytest.raises(UserError, match="expected 102 classes with images, found 3; "):
        list_torchvision_set("Flowers102", tmp_path, Counts(102))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", SETS)
def test_without_network_it_says_what_to_put_where(name: str, tmp_path: Path) -> None:
    message = refusal(name, tmp_path)
    folder, contents = SETS[name].folder, SETS[name].contents
    assert message.startswith(f"root/{folder} is not there, and the download failed (")
    assert message.endswith(f"); put {contents} there")


@pytest.mark.usefixtures("no_network")
def test_aircraft_is_downloaded_by_torchvision_and_read_by_the_reader_that_crops(
    tmp_path: Path,
) -> None:
    message = refusal("FGVCAircraft", tmp_path)
    assert message.startswith("root/fgvc-aircraft-2013b is not there, and the download failed (")
    assert message.endswith("); put data/ from fgvc-aircraft-2013b.tar.gz there")
    top = fgvc_aircraft(tmp_path)
    listing = list_source("FGVCAircraft", tmp_path, "any")
    assert listing.samples.equals(list_source("fgvc-aircraft", top, "any").samples)
    assert listing.read == list_source("fgvc-aircraft", tmp_path, "any").read


def test_torchvision_lists_the_same_cars_and_aircraft(tmp_path: Path) -> None:
    """Our own readers against torchvision's, where both read a layout."""
    fgvc_aircraft(tmp_path)
    top = stanford_cars(tmp_path)
    for name, source, pairs in (
        ("FGVCAircraft", "fgvc-aircraft", {"train": "train", "val": "validation", "test": "test"}),
        ("StanfordCars", "stanford-cars", {"train": "train", "test": "test"}),
    ):
        listing = list_source(source, tmp_path, "any")
        for theirs, ours in pairs.items():
            dataset = getattr(datasets, name)(tmp_path, split=theirs, loader=str)
            expected = [(path, dataset.classes[label]) for path, label in dataset]
            rows = listing.samples[listing.samples["split"] == ours]
            found = zip(rows["path"].map(listing.read.locate), rows["class_name"], strict=True)
            assert list(found) == expected
    assert list_source("StanfordCars", top, "any").classes == CARS


def test_cars_cannot_be_downloaded_and_the_missing_files_are_named(tmp_path: Path) -> None:
    message = refusal("StanfordCars", tmp_path)
    assert message.startswith("root lacks devkit/cars_meta.mat, devkit/cars_train_annos.mat, ")
    assert PUBLISHED_SOURCES["StanfordCars"] == PUBLISHED_SOURCES["stanford-cars"]
    assert COUNTS.keys() < PUBLISHED_SOURCES.keys()


def test_listing_decodes_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, build in BUILDERS.items():
        build(tmp_path, monkeypatch)
        for path in (tmp_path / SETS[name].folder).rglob("*.jpg"):
            path.write_bytes(b"no image")
        assert len(list_torchvision_set(name, tmp_path, ANY).samples) == sum(IMAGES[name].values())


def test_arrays_are_read_from_disk_once_and_their_reader_can_be_pickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BUILDERS["CIFAR100"](tmp_path, monkeypatch)
    listing = list_source("CIFAR100", tmp_path, "any")
    for path in (tmp_path / "cifar-100-python").iterdir():
        path.unlink()
    read = pickle.loads(pickle.dumps(listing.read))
    image = read("cifar-100-python/test#1")
    assert (image.size, image.getpixel((0, 0))) == ((32, 32), COLOURS[1])
    assert read.locate("cifar-100-python/test#1") == str(tmp_path / "cifar-100-python/test#1")


class Exploit:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_a_batch_that_is_not_the_published_one_is_never_unpickled(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BUILDERS[name](tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / SETS[name].folder
    (folder / {"CIFAR10": "data_batch_3", "CIFAR100": "train"}[name]).write_bytes(
        pickle.dumps(Exploit())
    )
    assert refusal(name, tmp_path) == (
        f"root/{folder.name} is not as published (Dataset not found or corrupted. You can use "
        f"download=True to download it); expected {SETS[name].contents}; "
        "complete it, or delete it to have it downloaded again"
    )
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("Flowers102", "flowers-102/jpg/image_00019.jpg"),
        ("OxfordIIITPet", "oxford-iiit-pet/images/Egyptian_Mau_9.jpg"),
        ("DTD", "dtd/dtd/images/banded/banded_0006.jpg"),
        ("Food101", "food-101/images/tacos/7.jpg"),
        ("Caltech101", "caltech101/101_ObjectCategories/Faces/image_0002.jpg"),
    ],
)
def test_a_deleted_image_is_named(
    name: str, lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BUILDERS[name](tmp_path, monkeypatch)
    (tmp_path / lost).unlink()
    message = refusal(name, tmp_path)
    assert f"absent or empty: {lost}; unpack the whole archive again" in message
    assert message.startswith(name)


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("Flowers102", "flowers-102/setid.mat"),
        ("OxfordIIITPet", "oxford-iiit-pet/annotations/test.txt"),
        ("DTD", "dtd/dtd/labels/val1.txt"),
        ("Food101", "food-101/meta/test.json"),
        ("CIFAR10", "cifar-10-batches-py/data_batch_5"),
        ("SUN397", "SUN397/ClassName.txt"),
    ],
)
def test_a_missing_list_is_no_smaller_data_set(
    name: str, lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BUILDERS[name](tmp_path, monkeypatch)
    (tmp_path / lost).unlink()
    message = refusal(name, tmp_path)
    assert message.startswith(f"root/{SETS[name].folder} is not as published (")
    assert f"; expected {SETS[name].contents}; complete it, or delete it" in message


def test_a_label_that_torchvision_takes_for_the_last_class_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes count from 1 in these lists: 0 would become -1, an index from the end."""
    BUILDERS["OxfordIIITPet"](tmp_path, monkeypatch)
    edit_lines(tmp_path / "oxford-iiit-pet/annotations/test.txt", {0: "Abyssinian_7 0 1 1"})
    assert refusal("OxfordIIITPet", tmp_path).startswith(
        "root/oxford-iiit-pet: expected labels of "
    )


def test_a_scene_that_its_list_lacks_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BUILDERS["SUN397"](tmp_path, monkeypatch)
    edit_lines(tmp_path / "SUN397/ClassName.txt", {SCENES.index("z/zoo"): None})
    assert refusal("SUN397", tmp_path).startswith("root/SUN397 is not as published ('zoo'); ")
