from dataclasses import replace
from pathlib import Path

import pytest
from layouts import COUNTS, THINGS, coco_70, edit_lines, write_lines

from pipeline.common.errors import UserError
from pipeline.datasets.readers.coco_70 import PUBLISHED, list_coco_70
from pipeline.datasets.readers.published import ANY

MINIATURE = COUNTS["coco-70"]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return coco_70(tmp_path)


def refusal(top: Path, counts=MINIATURE) -> str:
    with pytest.raises(UserError) as caught:
        list_coco_70(top, counts)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{top}", "top")


def test_classes_count_from_0_and_dev_is_for_validation(top: Path) -> None:
    listing = list_coco_70(top.parent, MINIATURE)
    assert listing.classes == THINGS
    rows = listing.samples.to_numpy().tolist()
    assert rows[0] == ["train", "person", "train/000000000000 train.jpg"]
    assert rows[13] == ["validation", "traffic light", "dev/000000000001 dev.jpg"]
    assert rows[-1] == ["test", "hot dog", "test/000000000008 test.jpg"]


def test_names_may_have_the_folder_in_front(top: Path) -> None:
    expected = list_coco_70(top, MINIATURE).samples
    for split in ("train", "dev", "test"):
        path = top / f"{split}.txt"
        write_lines(path, [f"{split}/{line}" for line in path.read_text().splitlines()])
    assert list_coco_70(top, MINIATURE).samples.equals(expected)


def test_the_published_counts_are_800_100_and_100_a_class() -> None:
    a_class = {split: count / PUBLISHED.classes for split, count in PUBLISHED.images.items()}
    assert a_class == {"train": 800, "validation": 100, "test": 100}
    assert PUBLISHED.classes == 70


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (PUBLISHED, "top/classes.txt: expected 70 classes, found 3; "),
        (replace(PUBLISHED, classes=3), "top/train.txt: expected 56,000 images, found 12; "),
        (
            replace(MINIATURE, images={"validation": 7_000}),
            "top/dev.txt: expected 7,000 images, found 6; ",
        ),
        (
            replace(MINIATURE, images={"test": 7_000}),
            "top/test.txt: expected 7,000 images, found 9; ",
        ),
    ],
)
def test_other_counts_name_file_expected_and_found(top: Path, counts, message: str) -> None:
    assert refusal(top, counts).startswith(message)


def test_classes_of_unequal_size_are_named(top: Path) -> None:
    edit_lines(top / "dev.txt", {0: "000000000000 dev.jpg 1"})
    assert refusal(top).startswith(
        "top/dev.txt: expected 2 images of each class, found person 1, traffic light 3; "
    )
    assert len(list_coco_70(top, ANY).samples) == 27


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("000000000000 train.jpg 3", "gives 000000000000 train.jpg the class 3; expected 0 to 2; "),
        ("000000000000.jpg", "expected lines <filename> <class>, found '000000000000.jpg'; "),
        ("000000000000.jpg -1", "found '-1' for a number; "),
        ("000000000001 train.jpg 1", "top have 1 images twice: train/000000000001 train.jpg; "),
    ],
)
def test_a_wrong_line_is_quoted(top: Path, line: str, message: str) -> None:
    edit_lines(top / "train.txt", {0: line})
    assert message in refusal(top, ANY)


@pytest.mark.parametrize("name", ["classes.txt", "train.txt", "dev.txt", "test.txt"])
def test_a_missing_list_is_named(top: Path, name: str) -> None:
    (top / name).unlink()
    assert refusal(top).startswith(f"top lacks {name}; expected classes.txt, train.txt, train/, ")


def test_a_deleted_image_is_named(top: Path) -> None:
    (top / "dev" / "000000000003 dev.jpg").unlink()
    assert refusal(top, ANY) == (
        "top/dev.txt: expected 6 image files below top, found 5; absent or empty: "
        "dev/000000000003 dev.jpg; unpack the whole archive again"
    )
