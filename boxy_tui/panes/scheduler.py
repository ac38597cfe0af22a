"""One frame clock for all panes.

Constraint: parsing shares the event loop with the keyboard.  Without a common budget twelve
flooding panes gave 300-450 ms from key to screen; with 5 ms a frame in all, the focused pane first
and a pause after an expensive frame, a key is answered within a frame or two.  A focused pane with
little queued is served at once (typed echo does not wait for the clock).
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import Protocol

FRAME = 1 / 60
"""Seconds between frames, at the least."""
BUDGET = 0.005
"""Seconds of parsing in a frame, for all panes together."""
REST = 2.0
"""After a frame that took t, rest at least REST * t: others use the loop too."""
FAST_LANE = 4096
"""A focused pane with fewer bytes than this queued is served at once."""


class Client(Protocol):
    """A pane, as the clock sees it."""

    scheduled: bool
    """Whether it stands in the clock's line; kept by the clock."""

    @property
    def urgent(self) -> bool:
        """Whether it has the focus."""

    def parse_some(self, deadline: float) -> bool:
        """Parse until the deadline (perf_counter), at least a piece.  True: something is left."""


class Scheduler:
    """Serves panes that have something to parse, round robin, the focused one first."""

    def __init__(self) -> None:
        self._line: deque[Client] = deque()
        self._handle: asyncio.TimerHandle | None = None
        self._last = 0.0
        self._cost = 0.0

    def add(self, pane: Client, queued: int) -> None:
        """The pane has `queued` bytes to parse."""
        if pane.scheduled:
            return
        now = perf_counter()
        if pane.urgent and queued < FAST_LANE and now - self._last >= self._cost * REST:
            self._last = now
            again = pane.parse_some(now + BUDGET)
            self._cost = perf_counter() - now
            if not again:
                return
        pane.scheduled = True
        if pane.urgent:
            self._line.appendleft(pane)
        else:
            self._line.append(pane)
        self._arm()

    def _arm(self) -> None:
        if self._handle is None:
            wait = self._last + max(FRAME, self._cost * REST) - perf_counter()
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(max(0.0, wait), self._run)

    def _run(self) -> None:
        self._handle = None
        start = self._last = perf_counter()
        deadline = start + BUDGET
        again: list[Client] = []
        while self._line:
            pane = self._line.popleft()
            pane.scheduled = False
            if pane.parse_some(deadline):
                pane.scheduled = True
                again.append(pane)
            if perf_counter() > deadline:
                break
        again.sort(key=lambda pane: not pane.urgent)
        urgent = [pane for pane in again if pane.urgent]
        self._line.extendleft(urgent)
        self._line.extend(pane for pane in again if not pane.urgent)
        self._cost = perf_counter() - start
        if self._line:
            self._arm()
