"""Who a client is, and how fast it may ask."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import time
from collections.abc import Callable, Collection
from typing import Protocol

from multidict import MultiMapping

from boxy_registry.errors import TooManyRequests

_BUCKET = struct.Struct("=Qdd")
"""a client by the hash of its address (0: none), its tokens, and when they were counted"""
_SHELF = 8 * _BUCKET.size
_SHELVES = 2048


class Caller(Protocol):
    """A request, as far as it tells who asks."""

    @property
    def remote(self) -> str | None:
        """The address at the other end of the connection."""

    @property
    def headers(self) -> MultiMapping[str]:
        """All of them."""


def address_of(request: Caller, proxies: Collection[str]) -> str:
    """The client's address; behind a proxy that we trust, the one that it tells.

    The last entry of X-Forwarded-For that is not a trusted proxy: everything before it is the
    client's own word.
    """
    address = request.remote or ""
    if address not in proxies:
        return address
    told = ",".join(request.headers.getall("X-Forwarded-For", []))
    for hop in reversed([part.strip() for part in told.split(",") if part.strip()]):
        address = hop[:64]
        if address not in proxies:
            break
    return address


class RateLimit:
    """A token bucket for each client: `rate` requests a second, `burst` saved up at most.

    The buckets are in a small file that all processes of the store map, so it does not matter
    which of them a client's connections come to.  It is of a fixed size: a bucket that was not
    used for the longest makes room for another client's among the few that its address may be in.
    Times are of the clock that all processes of a machine share, and that starts with it.
    """

    def __init__(
        self, path: str, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, _SHELVES * _SHELF)
        self._map = mmap.mmap(self._fd, _SHELVES * _SHELF)

    def take(self, client: str) -> None:
        """Count a request.  Raises TooManyRequests, which tells how long to wait."""
        name = hashlib.blake2b(client.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        key = int.from_bytes(name, "big") or 1
        shelf = key % _SHELVES * _SHELF
        fcntl.lockf(self._fd, fcntl.LOCK_EX, _SHELF, shelf)
        try:
            tokens = self._take(key, shelf)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, _SHELF, shelf)
        if tokens < 0:
            wait = int(-tokens / self._rate) + 1
            raise TooManyRequests(
                f"more than {self._rate:g} requests a second; wait {wait} s",
                headers={"Retry-After": str(wait)},
            )

    def _take(self, key: int, shelf: int) -> float:
        """What is left in the bucket; less than nothing: what is missing."""
        now = self._clock()
        at, tokens, then = shelf, float(self._burst), now
        oldest = now
        for place in range(shelf, shelf + _SHELF, _BUCKET.size):
            found, found_tokens, found_then = _BUCKET.unpack_from(self._map, place)
            if found == key and found_then <= now:  # else: from before the machine started
                at, tokens, then = place, found_tokens, found_then
                break
            if found == 0 or not found_then <= now or found_then < oldest:
                at, oldest = place, found_then if found and found_then <= now else 0.0
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        left = tokens - 1
        _BUCKET.pack_into(self._map, at, key, left if left >= 0 else tokens, now)
        return left
