"""An image or a text out of an HTTP request: bounded in bytes while it arrives, and in time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from pipeline.deployment.images import MOST_PIXELS

FIELD = "image"
LINGER_SECONDS = 3.0
Parts = AsyncGenerator[bytes, None]


@dataclass(frozen=True)
class Limits:
    """What is taken of a request.

    Attributes:
        upload_bytes: of its body.
        pixels: of the image in it.
        seconds: until its body is there.
    """

    upload_bytes: int = 20_000_000
    pixels: int = MOST_PIXELS
    seconds: float = 20.0


async def uploaded_image(request: Request, limits: Limits) -> bytes:
    """The image's bytes: the multipart field `image`, or the body itself.

    Raises:
        HTTPException: 408 where the body takes too long, 413 where it is too large, 422 where
            there is not exactly one image in it.
    """
    kind = request.headers.get("content-type", "").lower()
    if not kind.startswith("multipart/form-data"):
        return await uploaded_body(request, limits)
    return await _in_time(request, limits, lambda parts: _field(request.headers, parts))


async def uploaded_body(request: Request, limits: Limits) -> bytes:
    """The whole body.

    Raises:
        HTTPException: 408 where it takes too long, 413 where it is too large.
    """
    return await _in_time(request, limits, _joined)


async def _in_time(
    request: Request, limits: Limits, read: Callable[[Parts], Awaitable[bytes]]
) -> bytes:
    parts = request.stream()
    try:
        async with asyncio.timeout(limits.seconds):
            return await read(_bounded(parts, limits))
    except TimeoutError:
        raise HTTPException(
            408, f"the body was not there after {limits.seconds:g} seconds; send it faster"
        ) from None
    except HTTPException:
        await _pass_over_the_rest(parts, limits)
        raise


async def _joined(parts: Parts) -> bytes:
    return b"".join([part async for part in parts])


async def _pass_over_the_rest(parts: Parts, limits: Limits) -> None:
    """Most clients hear an answer only when they have sent all; some more is read for them."""
    taken = 0
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(LINGER_SECONDS):
            async for part in parts:
                taken += len(part)
                if taken > limits.upload_bytes:
                    return


async def _field(headers: Headers, parts: Parts) -> bytes:
    parser = MultiPartParser(headers, parts, max_files=1, max_fields=1)
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


async def _bounded(parts: Parts, limits: Limits) -> Parts:
    taken = 0
    async for part in parts:
        taken += len(part)
        if taken > limits.upload_bytes:
            raise HTTPException(
                413, f"at most {limits.upload_bytes / 1e6:g} MB are taken; send less"
            )
        yield part
