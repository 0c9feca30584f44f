"""The sizes that a source model and params.yaml give, and the warning of too small ones."""

import pytest

from pipeline.common.errors import UserError
from pipeline.datasets.sizes import Sizes, warn_of_size
from pipeline.params.prepare_data_section import PrepareData
from pipeline.params.sections import SourceModel
from pipeline.sources.sizes import find_sizes


@pytest.mark.parametrize(
    ("name", "input_size", "stored_size", "expected"),
    [
        ("efficientnet-lite0", 112, 128, Sizes(112, 128, 224)),
        ("efficientnet-lite0", "auto", "auto", Sizes(224, 256, 224)),
        ("resnet50", "auto", "auto", Sizes(224, 232, 224)),  # IMAGENET1K_V2
        ("inception_v3", 150, "auto", Sizes(150, 172, 299)),
        ("timm:convnext_tiny", "auto", 300, Sizes(224, 300, 224, "bicubic")),
        # cut from 0.9
        ("timm:vit_tiny_patch16_224", "auto", "auto", Sizes(224, 249, 224, "bicubic")),
    ],
)
def test_auto_is_the_published_protocol(
    name: str, input_size: int, stored_size: int, expected: Sizes
) -> None:
    model = SourceModel(name=name, input_size=input_size)
    assert find_sizes(model, PrepareData(stored_size=stored_size)) == expected


def test_a_crop_larger_than_what_it_is_cut_from_is_refused() -> None:
    with pytest.raises(UserError, match=r"input_size 224 exceeds prepare_data.stored_size 128"):
        find_sizes(SourceModel(input_size="auto"), PrepareData(stored_size=128))


@pytest.mark.parametrize(("size", "most"), [(224, 111), (299, 149), (600, 299)])
def test_images_below_half_of_the_published_size_are_warned_of_in_one_line(
    size: int, most: int
) -> None:
    message = warn_of_size("some-model", Sizes(most, 700, size))
    for part in f"is {most} px", f"some-model is published for {size} px", "to auto":
        assert part in message
    assert "\n" not in message
    assert warn_of_size("some-model", Sizes(most + 1, 700, size)) == ""


def test_of_weights_of_ones_own_nothing_is_known() -> None:
    sizes = find_sizes(
        SourceModel(weights="weights/mine.safetensors", input_size=32), PrepareData()
    )
    assert sizes.published is None
    assert warn_of_size("efficientnet-lite0", sizes) == ""
