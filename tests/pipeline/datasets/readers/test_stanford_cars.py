from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layouts import CARS, COUNTS, save_annotations, stanford_cars
from scipy.io import savemat

from pipeline.common.errors import UserError
from pipeline.datasets.readers.published import ANY
from pipeline.datasets.readers.stanford_cars import PUBLISHED, list_stanford_cars

MINIATURE = COUNTS["stanford-cars"]
META, TRAIN = "devkit/cars_meta.mat", "devkit/cars_train_annos.mat"
TEST = "cars_test_annos_withlabels.mat"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return stanford_cars(tmp_path)


def refusal(top: Path, counts=MINIATURE) -> str:
    with pytest.raises(UserError) as caught:
        list_stanford_cars(top, counts)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{top}", "top")


def test_classes_count_from_1_and_keep_spaces_and_slashes(top: Path) -> None:
    listing = list_stanford_cars(top, MINIATURE)
    assert listing.classes == CARS
    rows = listing.samples.to_numpy().tolist()
    assert rows[:3] == [
        ["train", CARS[label], f"cars_train/0000{label + 1}.jpg"] for label in range(3)
    ]
    assert rows[18] == ["test", CARS[0], "cars_test/00001.jpg"]


def test_the_test_labels_may_lie_in_the_devkit(top: Path) -> None:
    expected = list_stanford_cars(top, MINIATURE).samples
    (top / TEST).rename(top / "devkit" / TEST)
    assert list_stanford_cars(top.parent, MINIATURE).samples.equals(expected)


def test_names_that_scipy_padded_to_one_length_are_stripped(top: Path) -> None:
    savemat(top / META, {"class_names": np.array(CARS)})
    assert list_stanford_cars(top, MINIATURE).classes == CARS


def test_an_annotation_alone_is_still_a_list(top: Path) -> None:
    save_annotations(top / TEST, [(2, "00002.jpg")])
    samples = list_stanford_cars(top, ANY).samples
    assert samples.iloc[-1].tolist() == ["test", CARS[1], "cars_test/00002.jpg"]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (PUBLISHED, f"top/{META}: expected 196 classes, found 3; "),
        (
            replace(PUBLISHED, classes=3),
            f"top/{TRAIN}: expected 8,144 images for train, found 18; ",
        ),
        (
            replace(MINIATURE, images={"train": 18, "test": 8_041}),
            f"top/{TEST}: expected 8,041 images for test, found 9; ",
        ),
    ],
)
def test_other_counts_name_file_expected_and_found(top: Path, counts, message: str) -> None:
    assert refusal(top, counts).startswith(message)


@pytest.mark.parametrize("name", [META, TRAIN])
def test_a_missing_file_of_the_devkit_is_named(top: Path, name: str) -> None:
    (top / name).unlink()
    assert refusal(top).startswith(f"top lacks {name}; expected {META}, {TRAIN}, cars_train/, ")


def test_the_labels_of_the_test_images_are_a_download_of_their_own(top: Path) -> None:
    (top / TEST).rename(top / "devkit" / "cars_test_annos.mat")
    assert refusal(top) == (
        f"top/devkit/{TEST} is missing, and is not in top either; expected it beside the devkit's "
        "cars_test_annos.mat, which has no labels; download it and put it there"
    )


def test_annotations_without_labels_are_told_from_those_with(top: Path) -> None:
    table = np.array([[(1, "00001.jpg")]], dtype=[("bbox_x1", object), ("fname", object)])
    savemat(top / TEST, {"annotations": table})
    assert refusal(top).startswith(
        f"top/{TEST}: expected annotations with the fields class and fname, found bbox_x1, fname; "
    )


@pytest.mark.parametrize(("number", "split"), [(0, "train"), (4, "test")])
def test_a_class_out_of_range_is_named(top: Path, number: int, split: str) -> None:
    path = {"train": TRAIN, "test": TEST}[split]
    save_annotations(top / path, [(number, "00001.jpg")])
    assert refusal(top, ANY).startswith(
        f"top/{path} gives 00001.jpg the class {number}; expected 1 to 3; "
    )


def test_a_deleted_image_is_named(top: Path) -> None:
    (top / "cars_test" / "00005.jpg").unlink()
    assert refusal(top, ANY) == (
        f"top/{TEST}: expected 9 image files below top, found 8; absent or empty: "
        "cars_test/00005.jpg; unpack the whole archive again"
    )


@pytest.mark.parametrize("content", [b"", b"no MATLAB file at all", None])
def test_a_damaged_file_is_reported(top: Path, content: bytes | None) -> None:
    path = top / TRAIN
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    assert refusal(top).startswith(f"top/{TRAIN} is no MATLAB file with annotations (")


@pytest.mark.parametrize(("name", "variable"), [(META, "class_names"), (TRAIN, "annotations")])
def test_a_file_with_nothing_in_it_is_reported(top: Path, name: str, variable: str) -> None:
    savemat(top / name, {variable: np.empty((1, 0), dtype=object)})
    assert refusal(top, ANY) == f"top/{name} has no {variable}; unpack the whole archive again"
