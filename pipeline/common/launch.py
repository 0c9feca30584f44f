"""How a command is started in several processes, and which of them this one is.

Source of the variables: torch.distributed.run, which sets them.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from pipeline.common.errors import UserError


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return "WORLD_SIZE" in os.environ


def process_count() -> int:
    """Of all processes, on all machines; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def speaks() -> bool:
    """Whether this process is the one of this machine that talks to the user."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def show_messages() -> None:
    """Let the project's log lines reach the user, from the process that talks to them."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for package in ("pipeline", "stages"):
        logging.getLogger(package).setLevel(logging.INFO if speaks() else logging.ERROR)


def tells_why() -> bool:
    """Whether this process is the first of this machine to tell the user why it ends.

    At the first that fails torchrun ends the others, which may not have come so far; this one
    it can end no more.
    """
    if (errors := os.environ.get("TORCHELASTIC_ERROR_FILE")) is None:
        return speaks()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    try:
        (Path(errors).parents[1] / "told").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def start_again(count: int) -> NoReturn:
    """Start this command once more in `count` processes, by torchrun, and end as they do.

    What went wrong is said by them; torchrun's own account of it is left out.

    Raises:
        UserError: one of them was killed.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for module in ("", ".agent.server.api"):
        logging.getLogger(f"torch.distributed.elastic{module}").setLevel(logging.CRITICAL)
    launcher = ["--standalone", "--no-python", "--nproc-per-node", str(count)]
    try:
        run.run(run.parse_args([*launcher, *sys.argv]))
    except ChildFailedError as error:
        # When torchrun looks, others may have failed for lack of one that was killed; those that
        # it ended itself, by SIGTERM, are among them.
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        rank = min(codes, key=lambda rank: (codes[rank] == -signal.SIGTERM, codes[rank]))
        failure = error.failures[rank]
        if failure.exitcode < 0:
            raise UserError(
                f"process {rank} of {count} was ended by {failure.signal_name()}; run it again to "
                "go on"
            ) from None
        sys.exit(failure.exitcode)
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
    sys.exit(0)
