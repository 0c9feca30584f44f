"""Which images a source model is published for, and when far smaller ones are warned of."""

import subprocess
import sys

import pytest
import torchvision

from pipeline.params.published_sizes import SIZES, published_size, warn_of_size
from pipeline.params.sections import SourceModel

NAMES = torchvision.models.list_models(module=torchvision.models)


def test_the_sizes_are_those_of_torchvisions_newest_weights() -> None:
    published = {
        name: torchvision.models.get_model_weights(name)["DEFAULT"].transforms().crop_size[0]
        for name in NAMES
    }
    assert {name: published_size(name) for name in NAMES} == published
    assert SIZES.keys() <= set(NAMES)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("efficientnet-lite0", 111),
        ("resnet50", 111),
        ("inception_v3", 149),
        ("efficientnet_b7", 299),
    ],
)
def test_images_below_half_of_the_published_size_are_warned_of_in_one_line(
    name: str, most: int
) -> None:
    message = warn_of_size(SourceModel(name=name, input_size=most))
    for part in f"is {most} px", f"for {published_size(name)} px", "raise source_model.input_size":
        assert part in message
    assert "\n" not in message
    assert warn_of_size(SourceModel(name=name, input_size=most + 1)) == ""


def test_of_weights_of_ones_own_nothing_is_known() -> None:
    assert warn_of_size(SourceModel(weights="weights/mine.safetensors", input_size=32)) == ""
    assert warn_of_size(SourceModel(weights="IMAGENET1K_V1", name="resnet50", input_size=32)) != ""


def test_no_network_library_is_loaded_to_know_it() -> None:
    code = "import sys, pipeline.params.published_sizes; print({'torch', 'timm'} & {*sys.modules})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr
