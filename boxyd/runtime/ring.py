"""The last output of a session, kept as frames that are ready to be sent again.  Pure.

Constraint: bounded; small writes are merged, so that a program that writes bytes one by one
does not fill the memory with objects.
"""

from __future__ import annotations

from collections import deque

from boxyd.runtime.frames import HEADER

_SMALL = 2048


class Ring:
    """Keeps at least the last `size` payload bytes once there were as many, and little more."""

    __slots__ = ("_frames", "_held", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._frames: deque[bytes | bytearray] = deque()

    def add(self, frame: bytes) -> None:
        """Keep one more frame of output."""
        frames = self._frames
        self._held += len(frame) - HEADER.size
        last = frames[-1] if frames else None
        if len(frame) >= _SMALL:
            frames.append(frame)
        elif type(last) is bytearray and len(last) < _SMALL and last[0] == frame[0]:
            last += frame[HEADER.size :]
            HEADER.pack_into(last, 0, last[0], len(last) - HEADER.size)
        else:
            frames.append(bytearray(frame))
        while len(frames) > 1 and self._held - (len(frames[0]) - HEADER.size) >= self._size:
            self._held -= len(frames.popleft()) - HEADER.size

    def frames(self) -> list[bytes]:
        """All that is kept, oldest first."""
        return [bytes(frame) for frame in self._frames]

    def __len__(self) -> int:
        """Payload bytes held."""
        return self._held
