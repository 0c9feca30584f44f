"""Check whether all that the stages need is in order."""

import importlib
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pipeline.checks import Finding, checked, environment, workspace
from pipeline.common.errors import UserError
from pipeline.common.project import project_root, tracking_root
from pipeline.params import load_project

MARKS = {"good": ("✓", "green"), "note": ("·", "yellow"), "mend": ("✗", "red")}
PATIENCE = 9.0  # seconds, from the start, for what DVC says
ANSWER, WORK = 5.0, 60.0  # seconds, for what waits for other machines and for what only computes
WAITING = ("tracking", "remote")


def run() -> bool:
    """Whether nothing has to be mended.

    Raises:
        UserError: there is no project here.
    """
    root = project_root()
    if not (root / "params.yaml").is_file():
        raise UserError(f"{root} is in no project; run this beside a params.yaml")
    checkout = tracking_root(root)
    begin = time.monotonic()
    status = workspace.start_status(root)
    checks: dict[str, Callable[[], Finding]] = {
        "Python": lambda: environment.python_version(checkout),
        "packages": lambda: environment.packages(checkout),
        "stages": lambda: workspace.stages(root),
        **_of_params(root),
        "tracking": lambda: workspace.tracking(root),
        "remote": lambda: workspace.remote(root),
        "leftovers": lambda: workspace.leftovers(root),
    }
    console = Console(highlight=False)
    findings = [
        say(checked(title, check, ANSWER if title in WAITING else WORK), console)
        for title, check in checks.items()
    ]
    left = max(1.0, PATIENCE - (time.monotonic() - begin))
    waited = checked("artifacts", lambda: workspace.artifacts(status, left), left + 1)
    findings.append(say(waited, console))
    return not any(finding.state == "mend" for finding in findings)


def _of_params(root: Path) -> dict[str, Callable[[], Finding]]:
    """Those that need params.yaml to be valid; the reason why not where it is none."""
    try:
        params = load_project(root / "params.yaml")
    except UserError as error:
        invalid = Finding("params", str(error), "mend")
        return {"params": lambda: invalid}
    return {
        "params": lambda: Finding("params", f"{root / 'params.yaml'}"),
        "device": lambda: environment.device(params.compute),
        **importlib.import_module(f"{params.pages}.checks").checks_of(params, root),
    }


def say(finding: Finding, console: Console) -> Finding:
    """Print a finding on one line, however long it is."""
    mark, colour = MARKS[finding.state]
    line = Text.assemble((mark, colour), f" {finding.title:<10} {finding.text}")
    console.print(line, soft_wrap=True)
    return finding
