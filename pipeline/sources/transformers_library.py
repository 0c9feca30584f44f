"""transformers, which an extra brings."""

from typing import Any

from pipeline.common.errors import UserError


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
