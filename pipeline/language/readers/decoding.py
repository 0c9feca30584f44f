"""Lines of a text file, which is to be UTF-8 throughout."""

from pathlib import Path

from pipeline.common.errors import UserError


def read_lines(path: Path) -> list[str]:
    """Lines without their ends; a byte order mark is left out.

    Raises:
        UserError: it cannot be read, or a line is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}:{line}: byte 0x{content[error.start]:02x} is no UTF-8, as all before it is; "
            "convert the file, as by `iconv -f latin1 -t utf-8`, or this line where it mixes two "
            "encodings"
        ) from None
    # Not splitlines(), which also cuts at characters that stand within tokens of web text.
    return [line.removesuffix("\r") for line in text.split("\n")]
