"""What `cot doctor` looks at of a project of text."""

from collections.abc import Callable
from pathlib import Path

from pipeline.checks import Finding
from pipeline.common.errors import one_line
from pipeline.language.readers.registry import list_text
from pipeline.params import LanguageParams
from pipeline.sources.hub import require_on_hub


def checks_of(params: LanguageParams, root: Path) -> dict[str, Callable[[], Finding]]:
    """Checks by their titles."""
    return {
        "text": lambda: sentences(params, root),
        "model": lambda: source_model(params.source_model.name),
    }


def sentences(params: LanguageParams, root: Path) -> Finding:
    """Whether the files are there and keep to their scheme."""
    section = params.prepare_data
    found = list_text(section.source, root / section.root, section.scheme)
    types = f"entities of {', '.join(found.types)}"
    return Finding("text", f"{len(found.sentences)} sentences with {types} in {section.root}")


def source_model(name: str) -> Finding:
    """Whether it is on this machine, or on a hub that answers; it is not loaded."""
    try:
        require_on_hub(name.removeprefix("hf:"), "config.json")
    except OSError as error:
        return Finding("model", f"{name}: {one_line(error)}; give the folder of one", "mend")
    return Finding("model", f"{name} is there")
