"""Plays a recording in this terminal: at its own pace, or faster; with pause and seeking.

Constraint: there is no emulator here.  To go back, the terminal is cleared and everything up to
the wanted moment is written at once, which takes any terminal a fraction of a second.
"""

from __future__ import annotations

import os
import select
import time

from boxy_cli.modes import ModeTracker, strip_queries
from boxy_core import cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_core.cast import Recording

STEP = 5.0
"""seconds that an arrow key goes"""
SPEEDS = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
KEYS = "space pauses, ← → go 5 seconds, 0-9 to a tenth of it, + - change the speed, q ends"
CLEAR = b"\x1b[0m\x1b(B\x0f\x1b[r\x1b[H\x1b[2J"


class Player:
    """Where a playback is; `now` is in the recording's own seconds."""

    def __init__(self, recording: Recording, *, speed: float, output: int) -> None:
        self.recording, self.speed = recording, speed
        self.now = 0.0
        self.paused = False
        self.ended = False
        self._at = 0
        self._output = output
        self._modes = ModeTracker()

    def play(self, keys: int | None) -> None:
        """Play to the end, or until q.  `keys` is read for commands."""
        before = time.monotonic()
        while not self.ended and self._at < len(self.recording.events):
            wait = (self.recording.events[self._at].at - self.now) / self.speed
            patience = None if self.paused else max(0.0, wait)
            ready = select.select([keys] if keys is not None else [], [], [], patience)[0]
            present = time.monotonic()
            if not self.paused:
                self.now += min((present - before) * self.speed, max(0.0, wait) * self.speed)
            before = present
            if ready and keys is not None:
                self._command(os.read(keys, 64))
            elif not self.paused:
                self.now = max(self.now, self.recording.events[self._at].at)
                self._show_until(self.now)
        undo = self._modes.undo(always=True)
        self._write(undo)

    def go_to(self, seconds: float) -> None:
        """Show the moment `seconds` from the beginning."""
        seconds = max(0.0, min(seconds, self.recording.length))
        if seconds < self.now:
            self._write(self._modes.undo(always=True) + CLEAR)
            self._at = 0
        self.now = seconds
        self._show_until(seconds)

    def _show_until(self, seconds: float) -> None:
        events, parts = self.recording.events, []
        while self._at < len(events) and events[self._at].at <= seconds:
            if events[self._at].code == cast.OUTPUT:
                parts.append(events[self._at].data)
            self._at += 1
        self._write(strip_queries("".join(parts).encode("utf-8", "replace")))

    def _write(self, data: bytes) -> None:
        self._modes.feed(data)
        while data:
            data = data[os.write(self._output, data) :]

    def _command(self, keys: bytes) -> None:
        if keys in (b"q", b"Q", b"\x03", b"\x04", b""):
            self.ended = True
        elif keys in (b" ", b"p"):
            self.paused = not self.paused
        elif keys in (b"\x1b[C", b"\x1bOC", b"l"):
            self.go_to(self.now + STEP)
        elif keys in (b"\x1b[D", b"\x1bOD", b"h"):
            self.go_to(self.now - STEP)
        elif keys in (b"+", b"=", b"-"):
            self._faster(-1 if keys == b"-" else 1)
        elif len(keys) == 1 and keys.isdigit():
            self.go_to(int(keys) / 10 * self.recording.length)

    def _faster(self, by: int) -> None:
        nearest = min(range(len(SPEEDS)), key=lambda at: abs(SPEEDS[at] - self.speed))
        self.speed = SPEEDS[max(0, min(len(SPEEDS) - 1, nearest + by))]


def everything(recording: Recording) -> bytes:
    """All output at once."""
    shown = [event.data for event in recording.events if event.code == cast.OUTPUT]
    return "".join(shown).encode("utf-8", "replace")
