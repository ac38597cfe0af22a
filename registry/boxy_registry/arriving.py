"""A blob on its way into the store, read by those who wait for it while it comes.

Constraint: nobody ever gets a whole blob that is not what its digest says.  So the last byte is
held back until the digest is verified and the blob is in the store; if it never gets there,
whoever reads is told by a torn connection, and nothing of it stays.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

from boxy_core.errors import BoxyError
from boxy_registry.errors import RegistryError, Unavailable
from boxy_registry.store import Store
from boxy_registry.store.threads import in_thread

_GATHERED = 1 << 18
"""bytes that are written, and read, at a time"""


class Torn(ConnectionError):
    """The content ended too early, or was not what it should be."""


class Arriving:
    """One fetch of a blob; any number of readers."""

    def __init__(self, store: Store, repository: str, digest: str) -> None:
        self.digest = digest
        self.size: int | None = None
        """of the whole, if whoever sends it says so"""
        self.whole = False
        """whether it is in the store"""
        self.failure: Exception | None = None
        self._store = store
        self._repository = repository
        self._there = 0
        self._fd = -1
        self._changed = asyncio.Event()

    def expect(self, size: int) -> None:
        """So many bytes are on their way."""
        self.size = size
        self._tell()

    async def take_in(self, chunks: AsyncIterator[bytes]) -> None:
        """Keep what comes.  Raises DigestInvalid if it is not what it should be."""
        algorithm = self.digest.partition(":")[0]
        with self._store.uploads.begin(self._repository, algorithm) as upload:
            self._fd = os.open(upload.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                async for batch in _gathered(chunks):
                    await self._store.append(upload, batch)
                    self._there = max(min(upload.offset, self.size or upload.offset) - 1, 0)
                    self._tell()
                await self._store.finish(upload, self.digest)
            except BaseException:
                await in_thread(upload.discard)
                raise
            self._there = self.size = upload.offset

    def end(self, failure: Exception | None = None) -> None:
        """Nothing more will come: it is in the store, or this is why not."""
        self.failure, self.whole = failure, failure is None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_for_its_beginning(self) -> None:
        """Return when something is there, or is known.  Raises RegistryError, BoxyError."""
        while not (self.whole or self.failure or self.size is not None or self._there):
            await self._changed.wait()
        if self.failure is not None:
            raise self.failure

    def reader(self) -> Reader:
        """For one who waits; while it is neither whole nor failed."""
        return Reader(self, os.dup(self._fd))

    async def wait_past(self, offset: int) -> int:
        """How many bytes may be read, more than `offset`; or all of them.  Raises Torn."""
        while self._there <= offset and not self.whole:
            if self.failure is not None:
                raise Torn(f"{self.digest} did not arrive: {self.failure}")
            await self._changed.wait()
        return self._there


class Reader:
    """One who waits for a blob, with a descriptor of its file until `close`."""

    def __init__(self, arriving: Arriving, fd: int) -> None:
        self._arriving = arriving
        self._fd = fd
        self.digest = arriving.digest
        self.size = arriving.size

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    async def pieces(self, first: int = 0, count: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from one on, as they come.  Raises Torn if they do not."""
        at = first
        while count is None or at < first + count:
            there = await self._arriving.wait_past(at)
            if there <= at:
                return
            end = there if count is None else min(there, first + count)
            data = await in_thread(os.pread, self._fd, min(_GATHERED, end - at), at)
            if not data:
                raise Torn(f"the file of {self.digest} is shorter than it was")
            at += len(data)
            yield data


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    async for chunk in chunks:
        batch.append(chunk)
        size += len(chunk)
        if size >= _GATHERED:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def carry_out(arriving: Arriving, work: Callable[[Arriving], Awaitable[None]]) -> None:
    """Do what brings it here, and tell its readers how that ended."""
    failure: Exception | None = None
    try:
        await work(arriving)
    except (RegistryError, BoxyError, OSError) as error:
        failure = error
    except BaseException:
        failure = Unavailable("the server is ending")
        raise
    finally:
        arriving.end(failure)
