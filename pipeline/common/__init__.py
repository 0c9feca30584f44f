"""What every room stands on and no number comes from: errors for the user, files that are whole
or not there, progress bars, processes, the project's folder, and keys to resume work by.
"""

__all__ = [
    "damage",
    "errors",
    "files",
    "formats",
    "interpolation",
    "launch",
    "processes",
    "progress",
    "project",
    "resume",
    "tables",
    "tensors",
]
