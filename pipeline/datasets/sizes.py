"""How large images are stored and enter the network, and what the source model was made for."""

from dataclasses import dataclass

from pipeline.common.interpolation import Interpolation


@dataclass(frozen=True)
class Sizes:
    """Sides of squares, in pixels, and how images are made as small.

    Attributes:
        network_input: of what enters the network.
        stored: of the stored images, that it is cut from.
        published: of what the source model's weights are published for; None of a local state
            dict, of which nothing is known.
        interpolation: by which whole images are resized to the stored ones, with antialias.
    """

    network_input: int
    stored: int
    published: int | None
    interpolation: Interpolation = "bilinear"


def warn_of_size(name: str, sizes: Sizes) -> str:
    """One line where the network input is below half of the published size, else ""."""
    if sizes.published is None or sizes.network_input >= sizes.published / 2:
        return ""
    return (
        f"source_model.input_size is {sizes.network_input} px, {name} is published for "
        f"{sizes.published} px; below half of that it recognises little, so that the relationship "
        "knows little; set source_model.input_size and prepare_data.stored_size to auto, or to "
        "more pixels"
    )
