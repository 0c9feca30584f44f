"""An image out of an HTTP request: bounded in bytes while it arrives, and in time."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

FIELD = "image"


@dataclass(frozen=True)
class Limits:
    """What is taken of a request.

    Attributes:
        upload_bytes: of its body.
        pixels: of the image in it.
        seconds: until its body is there.
    """

    upload_bytes: int = 20_000_000
    pixels: int = 50_000_000
    seconds: float = 20.0


async def uploaded_image(request: Request, limits: Limits) -> bytes:
    """The image's bytes: the multipart field `image`, or the body itself.

    Raises:
        HTTPException: 408 where the body takes too long, 413 where it is too large, 422 where
            there is not exactly one image in it.
    """
    try:
        async with asyncio.timeout(limits.seconds):
            if request.headers.get("content-type", "").startswith("multipart/form-data"):
                return await _field(request, limits)
            return b"".join([part async for part in _bounded(request, limits)])
    except TimeoutError:
        raise HTTPException(
            408, f"the image was not there after {limits.seconds:g} seconds; send it faster"
        ) from None


async def _field(request: Request, limits: Limits) -> bytes:
    parser = MultiPartParser(request.headers, _bounded(request, limits), max_files=1, max_fields=1)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(422, f"no form can be read: {error.message}") from None
    except (KeyError, ValueError):
        raise HTTPException(422, "no form can be read: its boundary is missing") from None
    try:
        found = form.get(FIELD)
        if not isinstance(found, UploadFile):
            given = ", ".join(form) or "none"
            raise HTTPException(422, f"expected a file in the field {FIELD}, got fields: {given}")
        return await found.read()
    finally:
        await form.close()


async def _bounded(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    taken = 0
    async for part in request.stream():
        taken += len(part)
        if taken > limits.upload_bytes:
            raise HTTPException(
                413, f"at most {limits.upload_bytes / 1e6:g} MB are taken; send a smaller image"
            )
        yield part
