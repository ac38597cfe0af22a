"""The last output of a session, kept as frames that are ready to be sent again.  Pure.

Constraint: bounded; small writes are merged, so that a program that writes bytes one by one
does not fill the memory with objects.  Output is counted from the session's first byte: a
position is a number of bytes.
"""

from __future__ import annotations

from collections import deque

from boxyd.runtime.frames import HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SMALL = 2048


def _keep_nothing(_: bytes | bytearray) -> None:
    """What falls out is forgotten."""


class Ring:
    """Keeps at least the last `size` payload bytes once there were as many, and little more.

    `dropped` is called with each frame that falls out, oldest first.
    """

    __slots__ = ("_dropped", "_frames", "_held", "_size", "end")

    def __init__(
        self, size: int, dropped: Callable[[bytes | bytearray], None] = _keep_nothing
    ) -> None:
        self._size = size
        self._held = 0
        self._frames: deque[bytes | bytearray] = deque()
        self._dropped = dropped
        self.end = 0
        """position of the next byte"""

    def add(self, frame: bytes) -> None:
        """Keep one more frame of output."""
        frames = self._frames
        length = len(frame) - HEADER.size
        self._held += length
        self.end += length
        last = frames[-1] if frames else None
        if len(frame) >= _SMALL:
            frames.append(frame)
        elif type(last) is bytearray and len(last) < _SMALL and last[0] == frame[0]:
            last += frame[HEADER.size :]
            HEADER.pack_into(last, 0, last[0], len(last) - HEADER.size)
        else:
            frames.append(bytearray(frame))
        while len(frames) > 1 and self._held - (len(frames[0]) - HEADER.size) >= self._size:
            oldest = frames.popleft()
            self._held -= len(oldest) - HEADER.size
            self._dropped(oldest)

    def __iter__(self) -> Iterator[bytes | bytearray]:
        """The frames, oldest first, as they lie here: not to be kept."""
        return iter(self._frames)

    def frames(self) -> list[bytes]:
        """All that is kept, oldest first."""
        return [bytes(frame) for frame in self._frames]

    @property
    def start(self) -> int:
        """Position of the oldest byte that is kept."""
        return self.end - self._held

    def since(self, position: int) -> list[bytes]:
        """What came from `position` on, which lies between `start` and `end`."""
        found: list[bytes] = []
        at = self.end
        for frame in reversed(self._frames):
            if at <= position:
                break
            length = len(frame) - HEADER.size
            at -= length
            if at >= position:
                found.append(bytes(frame))
            else:
                rest = frame[HEADER.size + position - at :]
                found.append(HEADER.pack(frame[0], len(rest)) + rest)
        return found[::-1]

    def __len__(self) -> int:
        """Payload bytes held."""
        return self._held
