"""params.yaml as frozen, typed sections, one a stage; anything unknown or ill-typed is refused.

The main pipeline's sections are in `sections` and, that of prepare-data, in
`prepare_data_section`; those of the claims table in `claims_sections`.
"""

from pipeline.params.loading import Params, check_method, load, write_overlaid
from pipeline.params.writing import write_values

__all__ = [
    "Params",
    "base",
    "check_method",
    "claims_sections",
    "load",
    "methods",
    "prepare_data_section",
    "sections",
    "write_overlaid",
    "write_values",
    "writing",
]
