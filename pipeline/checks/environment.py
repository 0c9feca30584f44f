"""Python, packages and the device."""

import os
import platform
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipeline.checks.finding import Finding
from pipeline.params.sections import Compute


def python_version(checkout: Path) -> Finding:
    """Of the interpreter that runs this, against pyproject.toml."""
    wanted = str(_project(checkout)["requires-python"])
    has = platform.python_version()
    if SpecifierSet(wanted).contains(has, prereleases=True):
        return Finding("Python", f"{has} ({wanted} is needed)")
    return Finding("Python", f"got {has}, {wanted} is needed; make the environment anew", "mend")


def packages(checkout: Path) -> Finding:
    """The versions that are installed, against pyproject.toml."""
    project = _project(checkout)
    lines = [*project["dependencies"], *project["optional-dependencies"]["pipeline"]]
    wanted = [Requirement(line) for line in lines]
    wrong = []
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            has = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement} is missing")
            continue
        if not requirement.specifier.contains(has, prereleases=True):
            wrong.append(f"{requirement.name} is {has}, not {requirement.specifier}")
    if wrong:
        advice = "`pip install --constraint constraints.txt --editable '.[pipeline]'` mends it"
        return Finding("packages", f"{'; '.join(wrong)}; {advice}", "mend")
    return Finding("packages", f"{len(wanted)} as pyproject.toml asks for")


def device(wanted: Compute) -> Finding:
    """What the network will run on, and in which precision."""
    # It takes seconds to import.
    import torch

    from pipeline.training.compute import resolve_compute

    compute = resolve_compute(wanted.device, wanted.precision)
    if compute.device.type == "cuda":
        name = torch.cuda.get_device_name(compute.device)
        memory = torch.cuda.get_device_properties(compute.device).total_memory
        what = f"{name}, {memory / 1e9:.0f} GB"
    else:
        what = f"{os.cpu_count()} cores" if compute.device.type == "cpu" else "the machine's GPU"
    precision = str(compute.dtype).removeprefix("torch.")
    text = f"{compute.device} ({what}), {precision}"
    if (count := wanted.processes) > 1 and compute.device.type == "cuda":
        there = torch.cuda.device_count()
        if there < count:
            text += f"; compute.processes is {count}, and {there} GPUs are there: lower it"
            return Finding("device", text, "mend")
    return Finding("device", text)


def _project(checkout: Path) -> dict[str, Any]:
    return tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
