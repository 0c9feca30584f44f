"""params.yaml as frozen, typed sections, one a stage; anything unknown or ill-typed is refused.

The main pipeline's sections are in `sections` and, that of prepare-data, in
`prepare_data_section`; those of the claims table in `claims_sections`, those of text, where they
differ, in `language_sections`.
"""

from pipeline.params.language_sections import LanguageParams
from pipeline.params.loading import Params, check_method, load, load_project, write_overlaid
from pipeline.params.writing import write_values

__all__ = [
    "LanguageParams",
    "Params",
    "base",
    "check_method",
    "claims_sections",
    "image_params",
    "language_sections",
    "load",
    "load_project",
    "methods",
    "prepare_data_section",
    "samples",
    "sections",
    "write_overlaid",
    "write_values",
    "writing",
]
