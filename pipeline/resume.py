"""A key for what a stage keeps between runs, so that only the very same work is gone on with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.files import content_hash


def resume_key(params: Mapping[str, Any], inputs: Sequence[Path]) -> str:
    """Hash of the parameters, of the content of the inputs and of this package's code.

    Args:
        params: everything that steers the work, as JSON types.
        inputs: files that it reads.
    """
    code = sorted(Path(__file__).parent.rglob("*.py"))
    content = [content_hash(path) for path in (*inputs, *code)]
    text = json.dumps([params, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
