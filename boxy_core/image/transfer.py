"""Bytes on their way between a connection and a file: hashed, bounded, never in the loop.

Constraint: hashing and writing a MiB takes a millisecond or more, so it happens in threads, in
batches; what a stranger sends is counted before it is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable

import aiohttp

from boxy_core.errors import ImageError
from boxy_core.image.manifest import Descriptor
from boxy_core.image.trouble import broken

PIECE = 1 << 20

Count = Callable[[int], None]
"""told how many more bytes have come or gone"""


class Writer:
    """A file under way, and the hash of what is in it. Blocks: used in threads."""

    def __init__(self, target: str, blob: Descriptor) -> None:
        self._algorithm = blob.digest.partition(":")[0]
        self._hash = hashlib.new(self._algorithm)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        self._file = open(target, "a+b", buffering=0)  # noqa: SIM115 - closed by `close`
        self._file.seek(0)
        self.size = 0
        while piece := self._file.read(PIECE):
            self._hash.update(piece)
            self.size += len(piece)
        if self.size > blob.size:
            self.restart()

    def restart(self) -> None:
        """Forget what came so far."""
        self._file.truncate(0)
        self._hash = hashlib.new(self._algorithm)
        self.size = 0

    def write(self, pieces: list[bytes]) -> None:
        """Add bytes. Raises OSError."""
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]
            self._hash.update(piece)
            self.size += len(piece)

    def digest(self) -> str:
        """The digest of all that is in it."""
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def close(self) -> None:
        """Close the file."""
        self._file.close()


async def batches(content: aiohttp.StreamReader) -> AsyncIterator[list[bytes]]:
    """What comes, in lists of about a MiB; what came before a break is not lost."""
    batch: list[bytes] = []
    size, broke = 0, None
    while True:
        try:
            piece = await content.readany()
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            piece, broke = b"", error
        if piece:
            batch.append(piece)
            size += len(piece)
        if batch and (size >= PIECE or not piece):
            yield batch
            batch, size = [], 0
        if broke is not None:
            raise broke
        if not piece:
            return


async def pieces(fd: int, count: Count) -> AsyncIterator[bytes]:
    """A file's bytes, read in a thread."""
    at = 0
    while piece := await asyncio.to_thread(os.pread, fd, PIECE, at):
        yield piece
        at += len(piece)
        count(len(piece))


async def at_most(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The beginning of a body; what breaks off is short."""
    data = b""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async for piece in answer.content.iter_any():
            data += piece
            if len(data) >= limit:
                break
    return data[:limit]


async def bounded(answer: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    """The body of an answer. Raises ImageError if it is longer or breaks off."""
    data = bytearray()
    try:
        async for piece in answer.content.iter_any():
            data += piece
            if len(data) > limit:
                raise ImageError(
                    f"{what} is longer than {limit} bytes",
                    hint="the registry's data is damaged: have the image pushed again",
                )
    except (aiohttp.ClientError, TimeoutError) as error:
        raise broken(answer.host or "", error, what) from error
    return bytes(data)


def check_digest(data: bytes, wanted: str, what: str) -> None:
    """Raises ImageError if the bytes have another digest than `wanted` ("": any will do)."""
    if wanted:
        algorithm = wanted.partition(":")[0]
        found = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        if found != wanted:
            raise ImageError(
                f"{what} has the digest {found[:26]}..., not {wanted[:26]}...",
                hint="somebody changed it on the way or at the registry",
            )
