"""A key for what a stage keeps between runs, so that only the very same work is gone on with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.common.files import content_hash

PACKAGE = Path(__file__).parents[1]


def resume_key(params: Mapping[str, Any], inputs: Sequence[Path], code: Sequence[str]) -> str:
    """Hash of the parameters, of the content of the inputs and of the code.

    Args:
        params: everything that steers the work, as JSON types.
        inputs: files that it reads.
        code: which files below pipeline/ make the result, as patterns.
    """
    modules = sorted({path for pattern in code for path in PACKAGE.glob(pattern)})
    content = [content_hash(path) for path in (*inputs, *modules)]
    text = json.dumps([params, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
