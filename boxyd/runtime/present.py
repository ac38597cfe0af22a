"""What a client that comes is shown first: the present screen, or the last output.  Pure.

The shim does not parse.  A viewer that does (a pane of the console) tells it the state of the
screen at a position of the output; with what came since, that is the present screen exactly and
in a few kilobytes.  Without one the last output is shown from a place where it can be read, with
the modes that were switched before it.

Constraint: bounded; of a state that the history has outrun nothing is kept.
"""

from __future__ import annotations

from boxyd.runtime import frames
from boxyd.runtime.modes import Modes
from boxyd.runtime.ring import Ring

STATE_LIMIT = 256 << 10
"""bytes of a state that are kept"""
_CUT_WITHIN = 4096


class Present:
    """The history of a session and, of a terminal, what is known of its screen."""

    __slots__ = ("_at", "_floor", "_modes", "_state", "ring")

    def __init__(self, size: int, *, terminal: bool) -> None:
        self._modes = Modes() if terminal else None
        self._state = b""
        self._at = -1
        self._floor = 0  # a state from before this position is of another size
        self.ring = Ring(size, self._drop) if terminal else Ring(size)

    def _drop(self, frame: bytes | bytearray) -> None:
        if self._modes is not None:
            self._modes.feed(memoryview(frame)[frames.HEADER.size :])
        if self._at >= 0 and not self.exact:
            self._at, self._state = -1, b""

    def asked(self) -> int:
        """A viewer is being asked for the state of now: the position."""
        self._floor = min(self._floor, self.ring.end)
        return self.ring.end

    def tell(self, position: int, state: bytes) -> None:
        """The screen was so when the output had come to `position`."""
        news = max(self.ring.start, self._at, self._floor) <= position <= self.ring.end
        if self._modes is not None and news and len(state) <= STATE_LIMIT:
            self._at, self._state = position, state

    def forget(self) -> None:
        """The state holds no longer: the terminal has another size from here on."""
        self._at, self._state = -1, b""
        self._floor = self.ring.end + 1

    @property
    def exact(self) -> bool:
        """Whether `frames` leads to the present screen exactly."""
        return self._at >= self.ring.start or self.ring.start == 0

    @property
    def alternate(self) -> bool:
        """Whether a full-screen program has the alternate screen now, as far as one can tell."""
        if self._modes is None:
            return False
        modes = self._modes.copy()
        for frame in self.ring:
            modes.feed(memoryview(frame)[frames.HEADER.size :])
        return modes.alternate

    def frames(self) -> list[bytes]:
        """The opening of a client's stream, with its end."""
        end = frames.frame(frames.REPLAY_END, frames.COUNT.pack(self.ring.end))
        if self._at >= self.ring.start and self._at >= 0:
            state = frames.frame(frames.STDOUT, self._state)
            return [state, *self.ring.since(self._at), end]
        kept = self.ring.frames()
        if self._modes is not None and self.ring.start and kept:
            kept[0] = self._readable(kept[0], self._modes)
        return [*kept, end]

    @staticmethod
    def _readable(first: bytes, modes: Modes) -> bytes:
        """The oldest frame from the first line or sequence that begins in it."""
        data = first[frames.HEADER.size :]
        line = data.find(b"\n", 0, _CUT_WITHIN)
        sequence = data.find(b"\x1b", 0, _CUT_WITHIN)
        starts = [at for at in (line + 1 if line >= 0 else -1, sequence) if at >= 0]
        cut = min(starts, default=0)
        return frames.frame(first[0], modes.sequences() + data[cut:])
