"""Telling the box's shim what the screen shows, so that who comes later sees it at once.

The shim does not parse terminals; a pane does.  It answers when it is asked, and tells of itself
from time to time and when it leaves, since nobody can be asked then.  A state is what draws the
screen with some scrollback, and the position in the session's output that it belongs to.
"""

from __future__ import annotations

import struct

from boxy_tui.terminal.emulator import Emulator

POSITION = struct.Struct(">Q")
EVERY = 5.0
"""Seconds between two states told unasked."""
LIMIT = 128 << 10
"""Bytes of a state."""
OUTRUN = 256 << 10
"""Bytes of output that a state does not outlive: the shim's history reaches back no further."""
HISTORY = (1000, 250, 0)
"""Rows of scrollback in a state, fewer when they are too many bytes."""


class Teller:
    """Knows how far in the session's output a pane is."""

    def __init__(self) -> None:
        self._position = -1
        self._told = -1
        self._looked = -1

    def begin(self, payload: bytes) -> bool:
        """The replay has ended; its frame has the position.  False: this shim does not ask."""
        if len(payload) != POSITION.size:
            self._position = -1
            return False
        (self._position,) = POSITION.unpack(payload)
        self._looked = self._position
        return True

    def end(self) -> None:
        """What was parsed leads nowhere: the screen is begun anew."""
        self._position = -1

    def parsed(self, count: int) -> None:
        """So many bytes of the session's output are on the screen now."""
        if self._position >= 0:
            self._position += count

    @property
    def news(self) -> bool:
        """Whether the screen may have changed since it was told."""
        return self._position > self._told

    def calm(self) -> bool:
        """Whether a state made now would be of use: not in a flood, where the shim had to forget it
        before the next, and which a state of many rows would make stumble.  Since the last call."""
        before, self._looked = self._looked, self._position
        return self._position - before < OUTRUN

    def state(self, emulator: Emulator) -> bytes:
        """What to tell; empty when it cannot be told now."""
        unfinished = emulator.unfinished
        if self._position < 0 or unfinished is None:
            return b""
        self._told = self._position
        for rows in HISTORY:
            drawing = emulator.snapshot(rows)
            if len(drawing) <= LIMIT:
                return POSITION.pack(self._position - unfinished) + drawing
        return b""
