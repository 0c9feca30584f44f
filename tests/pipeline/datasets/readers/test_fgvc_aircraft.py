import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layouts import AIRCRAFT, BANNER, COLOURS, COUNTS, SIZE, draw, edit_lines, fgvc_aircraft

from pipeline.common.errors import UserError
from pipeline.datasets.readers.fgvc_aircraft import PUBLISHED, list_fgvc_aircraft
from pipeline.datasets.readers.published import ANY
from pipeline.datasets.store.decode import to_square

MINIATURE = COUNTS["fgvc-aircraft"]
FIRST = "data/images/0034309.jpg"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return fgvc_aircraft(tmp_path)


def list_of(top: Path, split: str) -> Path:
    return top / "data" / f"images_variant_{split}.txt"


def refusal(top: Path, counts=MINIATURE) -> str:
    with pytest.raises(UserError) as caught:
        list_fgvc_aircraft(top, counts)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{top}", "top")


def test_ids_keep_their_zeros_and_variants_their_spaces(top: Path) -> None:
    listing = list_fgvc_aircraft(top.parent, MINIATURE)
    assert listing.classes == AIRCRAFT
    rows = listing.samples.to_numpy().tolist()
    assert rows[:2] == [
        ["train", AIRCRAFT[0], FIRST],
        ["train", "Eurofighter Typhoon", "data/images/0034310.jpg"],
    ]
    assert rows[12][0] == "validation"
    assert rows[18][0] == "test"


def test_the_published_counts_are_10_000_of_100_variants() -> None:
    assert PUBLISHED.images == {"train": 3_334, "validation": 3_333, "test": 3_333}
    assert PUBLISHED.classes == 100


@pytest.mark.parametrize("row", [0, 1, 2])
def test_the_banner_is_cropped_before_the_image_is_resized(top: Path, row: int) -> None:
    listing = list_fgvc_aircraft(top, MINIATURE)
    read = pickle.loads(pickle.dumps(listing.read))
    with read(listing.samples["path"][row]) as image:
        assert image.size == (SIZE[0], SIZE[1] - BANNER)
        square = to_square(image, 16)
    mean = square.mean(axis=(0, 1))
    expected = np.array(COLOURS[row])
    if row == 0:  # grey-scale
        expected = np.full(3, expected @ (0.299, 0.587, 0.114))
    assert np.abs(mean - expected).max() < 10
    assert square.max() < 250


def test_an_image_that_is_all_banner_cannot_be_read(top: Path) -> None:
    draw(top / FIRST, 0, size=(30, 20))
    with pytest.raises(ValueError, match="20 pixels high, no more than the credit banner"):
        list_fgvc_aircraft(top, MINIATURE).read(FIRST)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (PUBLISHED, "top/data/variants.txt: expected 100 variants, found 3; "),
        (
            replace(PUBLISHED, classes=3),
            "top/data/images_variant_train.txt: expected 3,334 images, found 12; ",
        ),
        (
            replace(MINIATURE, images={"validation": 3_333}),
            "top/data/images_variant_val.txt: expected 3,333 images, found 6; ",
        ),
        (
            replace(MINIATURE, images={"test": 3_333}),
            "top/data/images_variant_test.txt: expected 3,333 images, found 9; ",
        ),
    ],
)
def test_other_counts_name_file_expected_and_found(top: Path, counts, message: str) -> None:
    assert refusal(top, counts).startswith(message)


@pytest.mark.parametrize("split", ["train", "val", "trainval", "test"])
def test_a_missing_list_is_named(top: Path, split: str) -> None:
    list_of(top, split).unlink()
    assert refusal(top).startswith(f"top lacks data/images_variant_{split}.txt; expected ")


def test_an_unknown_variant_is_named(top: Path) -> None:
    edit_lines(list_of(top, "val"), {0: "0034321 Eurofighter"})
    assert refusal(top).startswith(
        "top/data/images_variant_val.txt has variants that data/variants.txt lacks: Eurofighter; "
    )


def test_an_id_without_a_variant_is_quoted(top: Path) -> None:
    edit_lines(list_of(top, "train"), {0: "0034309"})
    assert "expected lines <image id> <variant>, found '0034309'; " in refusal(top)


def test_trainval_has_to_be_train_and_val(top: Path) -> None:
    edit_lines(list_of(top, "trainval"), {17: None})
    assert refusal(top).startswith(
        "top/data/images_variant_trainval.txt: expected the 18 images of train and val, "
        "found 17, not the same; "
    )


def test_an_image_in_two_splits_is_named(top: Path) -> None:
    edit_lines(list_of(top, "test"), {0: f"0034309 {AIRCRAFT[0]}"})
    assert f"have 1 images twice: {FIRST}; " in refusal(top)


def test_a_deleted_image_is_named(top: Path) -> None:
    (top / FIRST).unlink()
    assert refusal(top, ANY) == (
        "top/data/images_variant_train.txt: expected 12 image files below top, found 11; "
        f"absent or empty: {FIRST}; unpack the whole archive again"
    )
