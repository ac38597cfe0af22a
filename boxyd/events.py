"""What changed, told to any number of readers, in order, bounded in memory.

Constraint: an event costs the same with no reader and with a thousand.  Events lie in one
ring; a reader is nothing but a cursor into it, so a slow one costs no memory: when the ring
has passed it by, it is told so (`resync`: read the lists anew) and goes on from there.

Cursors are resumable over a connection's end.  They start at the daemon's start time in
microseconds, so that a cursor of a daemon before this one is never taken for one of ours.
The order of a box's events is the table in docs/reference/events.md.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator

from boxy_core.models import Event

CAPACITY = 4096
RESYNC = "resync"


class Events:
    """The ring and its readers."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.boot = uuid.uuid4().hex
        self._first = self._next = time.time_ns() // 1000
        self._ring: deque[Event] = deque(maxlen=capacity)
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def cursor(self) -> int:
        """The cursor of the last event; `watch` from here on sees only what is to come."""
        return self._next - 1

    def emit(self, kind: str, box_id: str = "", name: str = "", **data: object) -> Event:
        """Record an event and wake the readers."""
        event = Event(
            cursor=self._next, time=time.time(), type=kind, id=box_id, name=name, data=data
        )
        self._next += 1
        self._ring.append(event)
        waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        return event

    def after(self, cursor: int) -> list[Event]:
        """The events after `cursor`; begins with a `resync` if some of them are gone."""
        oldest = self._ring[0].cursor if self._ring else self._next
        missed = cursor < oldest - 1 or cursor > self.cursor
        if missed:
            resync = Event(cursor=oldest - 1, time=time.time(), type=RESYNC)
            return [resync, *self._ring]
        skip = cursor + 1 - oldest
        return list(self._ring)[skip:] if skip < len(self._ring) else []

    async def watch(self, since: int | None = None) -> AsyncIterator[list[Event]]:
        """Batches of events after `since` (None: from now on), for ever."""
        cursor = self.cursor if since is None else since
        while True:
            batch = self.after(cursor)
            if batch:
                cursor = batch[-1].cursor
                yield batch
            else:
                await self._wait_for_more()

    async def _wait_for_more(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)
