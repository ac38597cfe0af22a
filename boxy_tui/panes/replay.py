"""A recording in a pane: it plays, pauses, goes anywhere; no session and no daemon behind it.

Constraint: going back must not take longer the further one is in.  Every `KEY_BYTES` of output the
screen is kept as a snapshot (a few kilobytes); from the nearest one before the wanted moment the
rest is parsed, in pieces, so that the console's keys are served meanwhile.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from time import perf_counter
from typing import NamedTuple

from boxy_core import cast
from boxy_core.cast import Recording
from boxy_tui.panes.scheduler import Scheduler
from boxy_tui.terminal.pane import TerminalPane

KEY_BYTES = 1 << 20
"""Output between two kept screens."""
TURN = 0.008
"""Seconds of parsing before others have a turn."""
TICK = 1 / 30
SPEEDS = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0)


class _Key(NamedTuple):
    """The screen before the event of that number."""

    event: int
    columns: int
    lines: int
    drawing: bytes


class ReplayPane(TerminalPane):
    """Plays a recording; `now` and `length` are in its own seconds."""

    def __init__(self, recording: Recording, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self.recording = recording
        self.replaying = True
        self.playing = True
        self.speed = 1.0
        self.now = 0.0
        self._times = [event.at for event in recording.events]
        self._index = 0
        self._since_key = 0
        self._keys = [_Key(0, recording.columns, recording.rows, b"")]
        self._moving: asyncio.Task[None] | None = None
        self._looked = 0.0
        self.resize_emulator(recording.columns, recording.rows)

    @property
    def length(self) -> float:
        """Seconds that it lasts."""
        return self.recording.length

    @property
    def ended(self) -> bool:
        """Whether all of it is on the screen."""
        return self._index >= len(self._times)

    def on_mount(self) -> None:
        """Start the clock."""
        self._looked = perf_counter()
        self.set_interval(TICK, self._tick)

    def fit(self, columns: int, lines: int) -> None:
        """The screen keeps the size that was recorded."""

    def on_unmount(self) -> None:
        """Stop what is on its way."""
        if self._moving is not None:
            self._moving.cancel()

    # ---------------------------------------------------------------- commands

    def toggle(self) -> None:
        """Play or pause; at the end, from the beginning."""
        if self.ended and not self.playing:
            self.go_to(0.0)
        self.playing = not self.playing
        self._looked = perf_counter()
        self.post_message(self.Changed(self))

    def faster(self, by: int) -> None:
        """The next speed, or the one before."""
        at = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.speed))
        self.speed = SPEEDS[max(0, min(len(SPEEDS) - 1, at + by))]
        self.post_message(self.Changed(self))

    def go_to(self, seconds: float) -> None:
        """Show the moment so many seconds from the beginning."""
        seconds = max(0.0, min(seconds, self.length))
        wanted = bisect_right(self._times, seconds)
        self.now = seconds
        if wanted < self._index:
            self._return_to(max(k for k in self._keys if k.event <= wanted))
        self._move(wanted)

    def _return_to(self, key: _Key) -> None:
        if self._moving is not None:
            self._moving.cancel()
            self._moving = None
        self.restart(key.columns, key.lines)
        self.emulator.feed(key.drawing)
        self._index, self._since_key = key.event, 0

    # ---------------------------------------------------------------- playing

    def _tick(self) -> None:
        present = perf_counter()
        passed, self._looked = present - self._looked, present
        if not self.playing or self._moving is not None:
            return
        if self.ended:
            self.playing = False
        else:
            self.now = min(self.length, self.now + passed * self.speed)
            self._move(bisect_right(self._times, self.now))
        self.post_message(self.Changed(self))

    def _move(self, wanted: int) -> None:
        """Parse up to an event; at once if that is quick, else in turns."""
        if self._moving is not None:
            self._moving.cancel()
            self._moving = None
        if not self._parse_until(wanted):
            self._moving = asyncio.create_task(self._go_on(wanted))
        self._after_parsing()
        self.post_message(self.Changed(self))

    async def _go_on(self, wanted: int) -> None:
        while not self._parse_until(wanted):  # noqa: ASYNC110 - it is work, not waiting
            await asyncio.sleep(0)
        self._moving = None
        self._after_parsing()
        self.post_message(self.Changed(self))

    def _parse_until(self, wanted: int) -> bool:
        """Parse for one turn; True when the event has been reached."""
        deadline = perf_counter() + TURN
        events = self.recording.events
        while self._index < wanted:
            event = events[self._index]
            if event.code == cast.OUTPUT:
                data = event.data.encode("utf-8", "replace")
                self.emulator.feed(data)
                self._since_key += len(data)
            elif event.code == cast.RESIZE:
                self.resize_emulator(*event.size)
            self._index += 1
            if self._since_key >= KEY_BYTES:
                self._keep()
            if perf_counter() > deadline:
                return self._index >= wanted
        return True

    def _keep(self) -> None:
        self._since_key = 0
        if self._index > self._keys[-1].event and self.emulator.unfinished == 0:
            term = self.emulator
            drawing = term.snapshot(500)
            self._keys.append(_Key(self._index, term.columns, term.lines, drawing))
