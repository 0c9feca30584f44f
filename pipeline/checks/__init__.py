"""Whether all is in order that stages need: a finding a check, none of which raises.

`environment` is of the machine, `images` of the data, `workspace` of what lies in the project.
"""

from pipeline.checks.finding import Finding, checked

__all__ = ["Finding", "checked", "environment", "finding", "images", "workspace"]
