from dataclasses import replace
from pathlib import Path

import pytest
from layouts import BIRDS, COUNTS, cub_200_2011, edit_lines, write_lines

from pipeline.common.errors import UserError
from pipeline.datasets.readers.cub_200_2011 import PUBLISHED, list_cub_200_2011
from pipeline.datasets.readers.published import ANY

MINIATURE = COUNTS["cub-200-2011"]
FIRST = "001.Black_footed_Albatross/Black_footed_Albatross_0000_0.jpg"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return cub_200_2011(tmp_path)


def refusal(top: Path, counts=MINIATURE) -> str:
    with pytest.raises(UserError) as caught:
        list_cub_200_2011(top, counts)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{top}", "top")


def test_the_lists_are_joined_by_id_and_classes_counted_from_1(top: Path) -> None:
    listing = list_cub_200_2011(top, MINIATURE)
    assert listing.classes == BIRDS
    first, third, last = (listing.samples.iloc[row].tolist() for row in (0, 2, -1))
    assert first == ["train", BIRDS[0], f"images/{FIRST}"]
    assert third[0] == "test"
    assert last == ["test", BIRDS[2], f"images/{BIRDS[2]}/Sooty_Albatross_0008_2.jpg"]
    assert listing.samples["split"].value_counts().to_dict() == {"train": 18, "test": 9}


def test_the_order_of_a_list_has_no_meaning(top: Path) -> None:
    expected = list_cub_200_2011(top, MINIATURE).samples.sort_values("path").to_numpy().tolist()
    for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt"):
        lines = (top / name).read_text().splitlines()
        shift = len(name) % 5 + 1
        write_lines(top / name, lines[shift:] + lines[:shift])
    listing = list_cub_200_2011(top, MINIATURE)
    assert listing.samples.sort_values("path").to_numpy().tolist() == expected
    assert listing.classes == BIRDS


def test_the_label_decides_not_the_folder(top: Path) -> None:
    edit_lines(top / "image_class_labels.txt", {0: "1 3"})
    samples = list_cub_200_2011(top, MINIATURE).samples
    assert samples["class_name"][0] == BIRDS[2]


def test_the_folder_above_the_archives_own_will_do(top: Path) -> None:
    listing = list_cub_200_2011(top.parent, MINIATURE)
    assert listing.read.locate("images/x.jpg") == str(top / "images/x.jpg")


def test_windows_line_ends_and_empty_lines_do_no_harm(top: Path) -> None:
    path = top / "images.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert len(list_cub_200_2011(top, MINIATURE).samples) == 27


def test_the_published_counts_are_those_of_the_paper_of_the_data_set(top: Path) -> None:
    assert (PUBLISHED.classes, sum(PUBLISHED.images.values())) == (200, 11_788)
    assert PUBLISHED.images["train"] == 5_994
    assert refusal(top, PUBLISHED).startswith("top/classes.txt: expected 200 classes, found 3; ")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            replace(MINIATURE, images={"train": 5_994, "test": 5_794}),
            "top/images.txt: expected 11,788 images, found 27; ",
        ),
        (
            replace(MINIATURE, images={"train": 17, "test": 10}),
            "top/train_test_split.txt: expected 17 images for train, found 18; ",
        ),
    ],
)
def test_other_counts_name_file_expected_and_found(top: Path, counts, message: str) -> None:
    assert refusal(top, counts).startswith(message)


def test_a_truncated_list_is_an_error_whatever_counts_are_expected(top: Path) -> None:
    edit_lines(top / "images.txt", dict.fromkeys(range(20, 27)))
    assert refusal(top, ANY).startswith(
        "top/image_class_labels.txt and images.txt have different images: 27 and 20; "
        "only one of them has image 21, 22, 23, 24, 25 and 2 more; "
    )


def test_a_truncated_list_is_counted_first(top: Path) -> None:
    edit_lines(top / "images.txt", dict.fromkeys(range(20, 27)))
    assert refusal(top).startswith("top/images.txt: expected 27 images, found 20; ")


def test_a_deleted_image_and_an_empty_file_are_named(top: Path) -> None:
    (top / "images" / FIRST).unlink()
    other = FIRST.replace("0000", "0001")
    (top / "images" / other).write_bytes(b"")
    assert refusal(top, ANY) == (
        "top/images.txt: expected 27 image files below top, found 25; absent or empty: "
        f"images/{FIRST}, images/{other}; unpack the whole archive again"
    )


@pytest.mark.parametrize(
    "name", ["images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"]
)
def test_a_missing_list_is_named(top: Path, name: str) -> None:
    (top / name).unlink()
    assert refusal(top).startswith(f"top lacks {name}; expected images/, images.txt, classes.txt, ")


def test_an_empty_folder_is_told_what_belongs_into_it(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        "top lacks images/, images.txt, classes.txt, image_class_labels.txt, "
        "train_test_split.txt; expected images/, images.txt, classes.txt, "
        "image_class_labels.txt, train_test_split.txt as published, found nothing; "
        "unpack the archive there, or correct prepare_data.root"
    )


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        (
            "image_class_labels.txt",
            "1 0",
            f"top/image_class_labels.txt gives {FIRST} the class 0; expected 1 to 3; ",
        ),
        ("image_class_labels.txt", "1 4", f"gives {FIRST} the class 4; expected 1 to 3; "),
        (
            "train_test_split.txt",
            "1 2",
            "top/train_test_split.txt: expected lines <image id> <1 for train, 0 for test>, "
            "found 2 for image 1; ",
        ),
        ("train_test_split.txt", "1 yes", "found 'yes' for a number; "),
        ("images.txt", "1", "top/images.txt: expected lines <image id> <path>, found '1'; "),
        ("images.txt", "2 a/b.jpg", "top/images.txt has 2 twice; "),
        ("classes.txt", "2 x", "top/classes.txt has 2 twice; "),
        ("classes.txt", f"1 {BIRDS[1]}", f"top has classes of the same name: {BIRDS[1]}; "),
    ],
)
def test_a_malformed_line_is_quoted(top: Path, name: str, line: str, message: str) -> None:
    edit_lines(top / name, {0: line})
    assert message in refusal(top)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_list_is_reported(top: Path, content: str) -> None:
    (top / "classes.txt").write_text(content)
    assert refusal(top, ANY) == "top/classes.txt is empty; unpack the whole archive again"


def test_an_image_listed_twice_is_named(top: Path) -> None:
    edit_lines(top / "images.txt", {2: f"3 {FIRST}"})
    assert f"top have 1 images twice: images/{FIRST}; " in refusal(top)


def test_a_list_in_another_encoding_is_reported(top: Path) -> None:
    (top / "classes.txt").write_bytes("1 Küstenseeschwalbe\n".encode("latin-1"))
    assert refusal(top).startswith("top/classes.txt cannot be read ('utf-8' codec can't decode")
