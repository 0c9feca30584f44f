"""What people send where an image is wanted."""

import io
import zipfile
import zlib

import numpy as np
from PIL import Image


def encoded(form: str, size: tuple[int, int] = (60, 40)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG that says it has 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    header = (40_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    rows = zlib.compress(bytes(4_000_000))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as writer:
        writer.writestr("photo.jpg", encoded("JPEG"))
    return file.getvalue()


def malformed() -> dict[str, bytes]:
    """Bodies that hold no image that can be read, by what is wrong with them."""
    bodies = {
        "empty": b"",
        "text": b"a cat",
        "html": b"<img src=x onerror=alert(1)>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "zip": archive(),
        "bomb": bomb(),
        "many pixels": encoded("PNG", (1, 1))[:16] + (60_000).to_bytes(4, "big") * 2 + bytes(99),
        "zeros": bytes(5000),
    }
    noise = np.random.default_rng(1)
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        whole = encoded(form)
        for share in (0.02, 0.1, 0.3, 0.5):
            bodies[f"{form} cut at {share}"] = whole[: int(share * len(whole))]
        for number in range(3):
            bodies[f"{form} in name {number}"] = whole[:4] + noise.bytes(300)
    return bodies


def is_readable(body: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(body)) as image:
            image.load()
    except Exception:
        return False
    return True
