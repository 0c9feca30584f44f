"""How a command is started in several processes, and which of them this one is.

Source of the variables: torch.distributed.run, which sets them.
"""

import logging
import os
import sys
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
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise UserError(
                f"process {rank} of {count} was ended by {failure.signal_name()}; run it again to "
                "go on"
            ) from None
        sys.exit(failure.exitcode)
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
    sys.exit(0)
