"""A gzip stream written by all processors at once.

The data is cut into blocks; each is deflated on its own, with the end of the one before as its
dictionary, and they are joined at byte boundaries.  The result is one ordinary gzip member (RFC
1952), and does not depend on how many threads there were: the same data has the same digest.

Constraint: a few blocks are held at a time, however much is written.
"""

from __future__ import annotations

import collections
import os
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

BLOCK = 1 << 20
_WINDOW = 32 << 10
_SAMPLE = 16 << 10
_RAW = -15  # wbits: deflate without a head of its own
_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no time


class Gzip:
    """Give it bytes by `write`; what it makes of them goes to `out`, in order.

    Leave the block of a `with` to have the end written; by an error, to have it left out.
    """

    def __init__(self, out: Callable[[bytes], object], level: int, threads: int = 0) -> None:
        self._out = out
        self._level = level
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads, "boxy-gzip")
        self._under_way: collections.deque[Future[bytes]] = collections.deque()
        self._held = bytearray()
        self._before = b""
        self._crc = 0
        self._size = 0
        out(_HEAD)

    def write(self, data: bytes) -> int:
        """More of the data."""
        self._held += data
        while len(self._held) >= BLOCK:
            self._send(bytes(self._held[:BLOCK]), last=False)
            del self._held[:BLOCK]
        return len(data)

    def _send(self, block: bytes, *, last: bool) -> None:
        self._crc = zlib.crc32(block, self._crc)
        self._size += len(block)
        job = self._pool.submit(_deflated, block, self._before, self._level, last)
        self._under_way.append(job)
        self._before = block[-_WINDOW:]
        while len(self._under_way) > 2 * self._threads:
            self._out(self._under_way.popleft().result())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            if kind is None:
                self._send(bytes(self._held), last=True)
                while self._under_way:
                    self._out(self._under_way.popleft().result())
                self._out(struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))
        finally:
            self._pool.shutdown(cancel_futures=True)


def _deflated(block: bytes, before: bytes, level: int, last: bool) -> bytes:
    if len(block) > _SAMPLE and not _shrinks(block):
        level = zlib.Z_NO_COMPRESSION  # pictures, archives: ten times as quick
    packer = zlib.compressobj(level, zlib.DEFLATED, _RAW, zdict=before)
    end = zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH
    return packer.compress(block) + packer.flush(end)


def _shrinks(block: bytes) -> bool:
    """Whether packing is worth its while, by what becomes of samples."""
    places = (0, len(block) // 2, len(block) - _SAMPLE)
    sizes = (len(zlib.compress(block[at : at + _SAMPLE], 1)) for at in places)
    return any(size < _SAMPLE * 0.95 for size in sizes)
