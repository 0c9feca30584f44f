import pytest
from timm.data import ImageNetInfo

from pipeline.common.errors import UserError
from pipeline.sources.categories import match_categories
from pipeline.sources.source_model import IMAGENET_CATEGORIES

COLOURS = ("Red", "light green", "blue")


@pytest.mark.parametrize(
    ("folder", "index"),
    [
        ("tench", 0),
        ("TENCH", 0),
        ("n01440764", 0),
        ("N01440764", 0),
        ("0", 0),
        ("n15075141", 999),
        ("toilet tissue", 999),
        ("999", 999),
        ("great white shark", 2),
    ],
)
def test_a_folder_of_imagenet_means_its_category(folder: str, index: int) -> None:
    assert match_categories([folder], IMAGENET_CATEGORIES) == [index]


def test_every_category_is_found_by_its_own_name_and_index() -> None:
    assert match_categories(IMAGENET_CATEGORIES, IMAGENET_CATEGORIES) == list(range(1000))
    assert match_categories([*map(str, range(1000))], IMAGENET_CATEGORIES) == list(range(1000))


def test_case_tells_the_dog_from_the_garment() -> None:
    assert match_categories(["Cardigan", "cardigan"], IMAGENET_CATEGORIES) == [264, 474]
    with pytest.raises(UserError, match="'CARDIGAN'"):
        match_categories(["CARDIGAN"], IMAGENET_CATEGORIES)


def test_categories_of_another_model_go_by_name_and_index() -> None:
    assert match_categories(["Blue", "1", "red"], COLOURS) == [2, 1, 0]
    assert match_categories([], COLOURS) == []


@pytest.mark.parametrize("unknown", ["n01440764", "3", "-1", "yellow"])
def test_what_is_no_category_is_said_in_one_line(unknown: str) -> None:
    with pytest.raises(UserError) as caught:
        match_categories(["red", unknown, "also unknown"], COLOURS)
    assert str(caught.value) == (
        f"prepare_data.source_validation: 2 folders or labels are no source category, the first is "
        f"{unknown!r}; name each by category ('Red'), index (0 to 2) or WordNet id"
    )


def test_sorted_wordnet_ids_are_in_the_order_of_torchvisions_categories() -> None:
    """Each description begins with or contains torchvision's name of the category."""
    imagenet = ImageNetInfo("imagenet-1k")
    ids = imagenet.label_names()
    assert match_categories(sorted(ids), IMAGENET_CATEGORIES) == list(range(1000))
    unlike = [
        name
        for name, wordnet_id in zip(IMAGENET_CATEGORIES, sorted(ids), strict=True)
        if name.casefold() not in imagenet.label_name_to_description(wordnet_id).casefold()
    ]
    assert unlike == ["crane bird", "maillot tank suit"]  # named apart from another crane, maillot
