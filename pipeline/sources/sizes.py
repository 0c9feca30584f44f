"""The sizes of images that a source model and params.yaml ask for."""

from pipeline.common.errors import UserError
from pipeline.datasets.sizes import Sizes
from pipeline.params.prepare_data_section import PrepareData
from pipeline.params.sections import SourceModel
from pipeline.sources.models import published_input
from pipeline.sources.weights import is_local


def find_sizes(model: SourceModel, data: PrepareData) -> Sizes:
    """The sizes that the sections give, `auto` replaced by the source model's published ones, and
    its interpolation.

    Raises:
        UserError: unknown source model, or a crop larger than what it is cut from.
    """
    published = published_input(model.name, model.weights)
    size = published.size if model.input_size == "auto" else model.input_size
    cut_from = round(size / published.crop_fraction)
    stored = cut_from if data.stored_size == "auto" else data.stored_size
    if size > stored:
        raise UserError(
            f"source_model.input_size {size} exceeds prepare_data.stored_size {stored}; crops are "
            "cut from the stored images: set stored_size to auto"
        )
    known = None if is_local(model.weights) else published.size
    return Sizes(size, stored, known, published.interpolation)
