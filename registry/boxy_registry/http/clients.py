"""Who a client is, and how fast it may ask."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Protocol

from multidict import MultiMapping

from boxy_registry.errors import TooManyRequests

_REMEMBERED = 10_000


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

    Each process counts for itself.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Count a request.  Raises TooManyRequests, which tells how long to wait."""
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = int((1 - tokens) / self._rate) + 1
            raise TooManyRequests(
                f"more than {self._rate:g} requests a second; wait {wait} s",
                headers={"Retry-After": str(wait)},
            )
