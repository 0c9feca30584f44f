"""A key for what a stage keeps between runs, so that only the very same work is gone on with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.files import content_hash

PACKAGE = Path(__file__).parent


def resume_key(
    params: Mapping[str, Any], inputs: Sequence[Path], modules: Sequence[str] = ("**/*.py",)
) -> str:
    """Hash of the parameters, of the content of the inputs and of the code.

    Args:
        params: everything that steers the work, as JSON types.
        inputs: files that it reads.
        modules: which files of this package make the result, as patterns; all, if nothing else
            is said.
    """
    code = sorted({path for pattern in modules for path in PACKAGE.glob(pattern)})
    content = [content_hash(path) for path in (*inputs, *code)]
    text = json.dumps([params, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
