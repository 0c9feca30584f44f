"""The one exception that is meant for the person at the keyboard, and what its messages say."""

import difflib
import re
from collections.abc import Sequence

OPTION = re.compile(r"(?<=pass=|word=)[^&\s]*", re.IGNORECASE)
CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
LONGEST = 200  # letters, of what is quoted in a message


class UserError(Exception):
    """Something the user can mend: one line that says what was got, expected, and to do next."""


def one_line(error: Exception) -> str:
    """What an exception says, for a message."""
    return " ".join(str(error).split()) or type(error).__name__


def reason_of(error: Exception) -> str:
    """Why something failed: of the system in its own words, which leave out the file's name."""
    return (isinstance(error, OSError) and error.strerror) or one_line(error)


def shortened(text: str) -> str:
    """The beginning of what may be long, for a message."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def without_password(text: str) -> str:
    """A text in which URLs lack what stands before their host, and values of their options that
    are called passwords.

    >>> without_password("postgresql://me:secret@host/name?sslpassword=secret&x=1 is away")
    'postgresql://host/name?sslpassword=***&x=1 is away'
    """
    return CREDENTIALS.sub("", OPTION.sub("***", text))


def nearest(name: str, names: Sequence[str]) -> str:
    """The one of the names that is spelt most like a name."""
    return difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
