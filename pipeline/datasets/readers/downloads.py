"""Downloads by torchvision that end in time and say what to do without one."""

import http.client
import socket
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.common.errors import UserError, one_line

SECONDS_OF_SILENCE = 30.0


@contextmanager
def explained_download(lacking: str, advice: str) -> Iterator[None]:
    """Bound every wait for the network, and turn a failure into one line.

    Args:
        lacking: what is absent where, as a clause.
        advice: what to do instead.

    Raises:
        UserError: what the block does failed.
    """
    seconds = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_OF_SILENCE)
    try:
        yield
    except (
        *(OSError, RuntimeError, EOFError, http.client.HTTPException),
        *(tarfile.TarError, zipfile.BadZipFile),
    ) as error:
        raise UserError(
            f"{lacking}, and the download failed ({one_line(error)}); {advice}"
        ) from None
    finally:
        socket.setdefaulttimeout(seconds)
