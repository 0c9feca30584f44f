"""The hub of models, asked once before a library asks it again and again."""

from pathlib import Path

from huggingface_hub import HfApi, try_to_load_from_cache

from pipeline.common.errors import one_line

PATIENCE = 10.0  # seconds
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def require_on_hub(name: str, *files: str) -> None:
    """Fail at once where a library's loading would retry each of its files for half a minute.

    Nothing is asked of a folder on this machine, nor of a model that was fetched before.

    Args:
        name: of a model on the hub, or a folder.
        files: of the model, any of which says that it was fetched before.

    Raises:
        OSError: there is no such model, it may not be read, or the hub cannot be reached.
    """
    if Path(name).is_dir():
        return
    try:
        if not any(isinstance(try_to_load_from_cache(name, file), str) for file in files):
            HfApi().model_info(name, timeout=PATIENCE)
    except Exception as error:  # of the hub's library, and of the one that it asks with
        raise OSError(one_line(error)) from None
