"""transformers, which an extra brings."""

from typing import Any

from pipeline.common.errors import UserError, one_line


def load_transformers(extra: str) -> Any:
    """The library, made quiet.

    Args:
        extra: of this project, which brings it.

    Raises:
        UserError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise UserError(
            "source_model: hf:<name> needs transformers, which is not installed; "
            f"run pip install '.[{extra}]'"
        ) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def not_loaded(name: str, error: Exception) -> UserError:
    """For the user, where `source_model.name` gives a model that the library does not load."""
    return UserError(
        f"source_model: {name} could not be loaded: {one_line(error)[:160]}; check the name, or "
        "fetch the model with all its files on a machine with network access and give its folder"
    )
