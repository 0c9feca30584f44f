"""What a check found, in one line."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline.common.errors import UserError, one_line


@dataclass(frozen=True)
class Finding:
    """Of one check.

    Attributes:
        title: what was checked.
        text: what was found, and what to do about it.
        state: `mend` is what stages would fail at, `note` what is good to know.
    """

    title: str
    text: str
    state: Literal["good", "note", "mend"] = "good"


def checked(title: str, check: Callable[[], Finding], patience: float) -> Finding:
    """What a check finds; an error or a wait of more than `patience` seconds is to be mended."""
    found: list[Finding] = []

    def look() -> None:
        try:
            found.append(check())
        except UserError as error:
            found.append(Finding(title, str(error), "mend"))
        except Exception as error:  # a doctor that fails must not hide what the others find
            text = f"could not be checked: {type(error).__name__}: {one_line(error)}"
            found.append(Finding(title, text, "mend"))

    # A daemon: what waits for a network forever must not keep the command from ending.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(patience)
    silent = Finding(title, f"no answer in {patience:.0f} s; look at it by hand", "mend")
    return found[0] if found else silent
